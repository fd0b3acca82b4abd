//! The firmware that a guest had at its last start, and the variables that it left.

use std::io::ErrorKind;
use std::path::Path;

use passthru_domain::Domain;
use passthru_qemu::Descriptor;

use crate::error::Error;
use crate::opener::Opener;
use crate::start::nvram::{self, StoredVariables};

/// The firmware of a guest's last start.
pub(super) struct LastFirmware {
    pub(super) descriptor: Descriptor,
    /// Variables that a start would use.
    variables: StoredVariables,
    /// A file that a start needs, and that does not exist.
    missing: Option<String>,
}

/// A firmware whose files are gone, while the guest has variables of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostFirmware {
    descriptor: Descriptor,
    missing: String,
    /// Path of the variables, if they are in a file.
    variables: Option<String>,
}

impl LastFirmware {
    /// Looks for the files of a firmware and of its variables. If the domain names its firmware,
    /// then none counts as missing: no other firmware would be chosen.
    pub(super) fn new(descriptor: Descriptor, domain: &Domain, opener: &Opener<'_>) -> Self {
        let variables = nvram::stored(domain, opener);
        let mut needed = Vec::new();
        if domain.os.leaves_firmware_open() {
            needed.extend(descriptor.code());
            // Only a file that does not exist yet is made from the template.
            let template = descriptor.template();
            needed.extend(template.filter(|_| variables == StoredVariables::None));
        }
        let missing = needed
            .into_iter()
            .find(|path| is_missing(path, opener))
            .map(str::to_owned);
        Self {
            missing,
            variables,
            descriptor,
        }
    }

    /// Returns the note that another firmware is chosen, if this one is gone and nothing is lost
    /// with it: there are no variables.
    pub(super) fn replaced_note(&self) -> Option<String> {
        let missing = self.missing.as_ref()?;
        (self.variables == StoredVariables::None).then(|| {
            format!(
                "the firmware of the last start ({}) is gone: there is no {missing}; there are no \
                 variables of it either, so the firmware is chosen anew",
                self.descriptor.name()
            )
        })
    }

    /// Returns this firmware, if it is gone and the guest has variables.
    pub(super) fn lost(&self) -> Option<LostFirmware> {
        let variables = match &self.variables {
            StoredVariables::None => return None,
            StoredVariables::File(path) => Some(path.clone()),
            StoredVariables::Elsewhere => None,
        };
        Some(LostFirmware {
            descriptor: self.descriptor.clone(),
            missing: self.missing.clone()?,
            variables,
        })
    }
}

impl LostFirmware {
    /// Checks that the firmware of a start is not this one.
    ///
    /// # Errors
    /// If it is this one, then [`Error::FirmwareGone`].
    pub(crate) fn check(&self, chosen: Option<&Descriptor>) -> Result<(), Error> {
        if chosen != Some(&self.descriptor) {
            return Ok(());
        }
        Err(Error::FirmwareGone {
            descriptor: self.descriptor.name().to_owned(),
            missing: self.missing.clone(),
            variables: self.variables.clone(),
        })
    }
}

fn is_missing(path: &str, opener: &Opener<'_>) -> bool {
    let found = opener.stat(Path::new(path));
    found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
