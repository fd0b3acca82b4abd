//! The firmwares to choose from.

use std::borrow::Cow;

use passthru_domain::firmware::Firmware;
use passthru_domain::{Arch, Domain, Error, FirmwareChoice, Machine};

use super::choice::{Mismatch, check, choice, pair};
use super::descriptor::FirmwareDescriptor;
use super::request::Request;
use super::well_known::well_known;
use crate::capabilities::Capabilities;

/// Number of firmwares whose mismatch an error names.
const MAX_REASONS: usize = 4;

/// The firmwares to choose from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FirmwareCatalog {
    /// The firmwares of Debian's and Fedora's packages, at their usual paths. No host is looked at.
    #[default]
    WellKnown,
    /// Descriptors, in the order of preference.
    Descriptors(Vec<FirmwareDescriptor>),
    /// The firmwares at usual paths, for domains that name the file of theirs. Other domains keep
    /// their choice open.
    Named,
}

impl FirmwareCatalog {
    fn descriptors(&self) -> Cow<'_, [FirmwareDescriptor]> {
        match self {
            Self::WellKnown | Self::Named => well_known().into(),
            Self::Descriptors(descriptors) => descriptors.into(),
        }
    }

    /// Returns the first descriptor that fits a domain.
    pub(crate) fn chosen(
        &self,
        domain: &Domain,
        machine: &Machine,
        capabilities: &Capabilities,
    ) -> Option<FirmwareDescriptor> {
        let request = Request::for_domain(domain, machine, capabilities)?;
        first_fit(&self.descriptors(), &request).cloned()
    }

    /// Chooses the firmware of a domain; `None` if nothing is to be filled in.
    ///
    /// # Errors
    /// If the domain asks for a choice and no firmware fits, an error with the reasons.
    pub(crate) fn choose(
        &self,
        domain: &Domain,
        machine: &Machine,
        capabilities: &Capabilities,
    ) -> Result<Option<FirmwareChoice>, Error> {
        let Some(request) = Request::for_domain(domain, machine, capabilities) else {
            return Ok(None);
        };
        if *self == Self::Named && domain.os.leaves_firmware_open() {
            return Ok(None);
        }

        let descriptors = self.descriptors();
        if let Some(descriptor) = first_fit(&descriptors, &request) {
            return Ok(choice(descriptor));
        }
        if !domain.os.leaves_firmware_open() {
            return Ok(named_pair(&descriptors, &request));
        }
        if domain.os.firmware == Some(Firmware::Bios) && has_bios(machine) {
            return Ok(None);
        }
        Err(self.no_match(&descriptors, &request, machine))
    }

    /// Returns the error for a domain that no firmware fits.
    fn no_match(
        &self,
        descriptors: &[FirmwareDescriptor],
        request: &Request<'_>,
        machine: &Machine,
    ) -> Error {
        let kind = request.os.firmware.unwrap_or(Firmware::Efi);
        let is_table = *self == Self::WellKnown;
        let mut reasons = Vec::new();
        for descriptor in descriptors {
            if let Err(Mismatch::Wish(reason)) = check(descriptor, request) {
                reasons.push(format!("{} {reason}", descriptor.name()));
            }
        }

        if reasons.is_empty() {
            let what = format!(
                "firmware for <os firmware='{kind}'> on the machine '{}' ({})",
                machine.name, machine.arch
            );
            return if is_table {
                let message = format!("the table of well-known paths has no {what}");
                Error::new(message).hint("name its files with <loader> and <nvram>")
            } else {
                let hint = "install one for this machine (OVMF or AAVMF of edk2), or name its \
                            files with <loader> and <nvram>";
                Error::new(format!("no {what}")).hint(hint)
            };
        }

        let more = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        let of_table = if is_table {
            " of the table of well-known paths"
        } else {
            ""
        };
        let mut message = format!(
            "no firmware{of_table} fits this <os firmware='{kind}'>: {}",
            reasons.join("; ")
        );
        if more > 0 {
            message += &format!("; and {more} more do not");
        }
        Error::new(message).hint("ask for less, or name the files with <loader> and <nvram>")
    }
}

/// Returns the first descriptor that fits.
fn first_fit<'a>(
    descriptors: &'a [FirmwareDescriptor],
    request: &Request<'_>,
) -> Option<&'a FirmwareDescriptor> {
    descriptors.iter().find(|d| check(d, request).is_ok())
}

/// Returns what goes with the code that a domain names. The table has code of older packages, which
/// descriptors may lack.
fn named_pair(descriptors: &[FirmwareDescriptor], request: &Request<'_>) -> Option<FirmwareChoice> {
    let own = descriptors.iter().find_map(|d| pair(d, request));
    own.or_else(|| well_known().iter().find_map(|d| pair(d, request)))
}

/// Returns whether QEMU gives a machine a BIOS by itself.
const fn has_bios(machine: &Machine) -> bool {
    matches!(machine.arch, Arch::X86_64 | Arch::I686)
}
