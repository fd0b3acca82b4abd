//! The firmware that a guest had at its last start, and the variables that it left.

use std::io::ErrorKind;
use std::path::Path;

use passthru_domain::Domain;
use passthru_qemu::{FirmwareDescriptor, NVRAM_DIR};

use crate::error::Error;
use crate::opener::Opener;
use crate::start::nvram::{self, StoredVariables};
use crate::start::record::Firmware;

/// The firmware of a guest's last start.
pub(super) struct LastFirmware {
    pub(super) descriptor: FirmwareDescriptor,
    /// Variables that a start would use.
    variables: StoredVariables,
    /// A file that a start needs, and that does not exist.
    missing: Option<String>,
}

/// A firmware whose files are gone, while the guest has variables of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostFirmware {
    descriptor: FirmwareDescriptor,
    missing: String,
    /// Path of the variables, if they are in a file.
    variables: Option<String>,
}

impl LastFirmware {
    /// Looks for the files of a firmware and of its variables. If the domain names its firmware,
    /// then none counts as missing: no other firmware would be chosen.
    pub(super) fn new(
        descriptor: FirmwareDescriptor,
        domain: &Domain,
        opener: &Opener<'_>,
    ) -> Self {
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
    pub(crate) fn check(&self, chosen: Option<&FirmwareDescriptor>) -> Result<(), Error> {
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

/// Returns the note that the record does not pair existing variables with the firmware of a start.
///
/// That is so after a first start that failed, after the record was removed, and if the domain now
/// asks for other firmware. Of a file that the user chose, without a record, nothing is known.
pub(super) fn foreign_variables_note(
    variables: &str,
    code: &str,
    last: Option<&Firmware>,
) -> Option<String> {
    let last = last.filter(|last| last.nvram.as_deref() == Some(variables));
    let is_foreign = match last {
        Some(last) => last.loader.as_deref() != Some(code),
        None => Path::new(variables).starts_with(NVRAM_DIR),
    };
    is_foreign.then(|| {
        format!(
            "the guest gets the firmware {code}, and the variables in {variables} may be those of \
             other firmware: the guest's record does not pair the two; if the guest does not \
             boot, remove {variables}"
        )
    })
}

fn is_missing(path: &str, opener: &Opener<'_>) -> bool {
    let found = opener.stat(Path::new(path));
    found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &str = "/var/lib/passthru/nvram/vm_VARS.fd";

    #[test]
    fn variables_without_a_record_are_noted() {
        let note = foreign_variables_note(VARIABLES, "/fw/code", None).unwrap();
        assert!(
            note.contains("/fw/code") && note.ends_with(&format!("remove {VARIABLES}")),
            "{note}"
        );

        assert_eq!(foreign_variables_note("/own/vars", "/fw/code", None), None);
    }

    #[test]
    fn variables_are_noted_if_the_record_names_other_firmware() {
        let last = Firmware {
            loader: Some("/fw/code".into()),
            nvram: Some(VARIABLES.into()),
            ..Firmware::default()
        };
        let same = foreign_variables_note(VARIABLES, "/fw/code", Some(&last));
        assert_eq!(same, None);
        assert!(foreign_variables_note(VARIABLES, "/fw/other", Some(&last)).is_some());
    }
}
