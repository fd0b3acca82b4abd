//! The firmwares that a domain's firmware is chosen from.

use std::path::{Path, PathBuf};

use passthru_domain::firmware::{Firmware, LoaderType};
use passthru_domain::{Domain, Note};
use passthru_guest::{FirmwareDescriptors, LostFirmware, Records, User};
use passthru_qemu::FirmwareCatalog;

use crate::error::Error;

/// The firmwares to choose from.
pub(crate) struct Firmwares {
    pub(crate) catalog: FirmwareCatalog,
    pub(crate) notes: Vec<String>,
    /// The firmware of the guest's last start, if it is gone.
    pub(crate) lost: Option<LostFirmware>,
}

impl Firmwares {
    /// Returns the firmwares that folders of descriptors name. Without folders, those are the
    /// firmwares at well-known paths.
    pub(crate) fn in_folders(folders: &[PathBuf]) -> Result<Self, Error> {
        if folders.is_empty() {
            return Ok(FirmwareCatalog::WellKnown.into());
        }
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        Ok(FirmwareDescriptors::read(&folders)?.into())
    }

    /// Returns the firmwares of this host for a guest. The one of the guest's last start comes
    /// first.
    pub(crate) fn of_host(domain: &Domain, records: &Records, user: &User) -> Result<Self, Error> {
        if !has_choice(domain) {
            return Ok(FirmwareCatalog::Named.into());
        }
        // Only root has records, and can read them.
        let records = User::caller().is_none().then_some(records);
        Ok(FirmwareDescriptors::for_guest(domain, records, user)?.into())
    }
}

impl From<FirmwareCatalog> for Firmwares {
    fn from(catalog: FirmwareCatalog) -> Self {
        Self {
            catalog,
            notes: Vec::new(),
            lost: None,
        }
    }
}

impl From<FirmwareDescriptors> for Firmwares {
    fn from(found: FirmwareDescriptors) -> Self {
        Self {
            catalog: FirmwareCatalog::Descriptors(found.descriptors),
            notes: found.notes,
            lost: found.lost,
        }
    }
}

/// Returns the note that the table of well-known paths decided on the firmware of a complete
/// domain, which left the choice open. `None` if the guest has the machine's own BIOS.
pub(crate) fn table_note(domain: &Domain) -> Option<Note> {
    let kind = domain.os.firmware?;
    let loader = domain.os.loader.as_ref();
    let message = match loader.and_then(|loader| loader.path.as_deref()) {
        Some(path) => format!(
            "<os firmware='{kind}'> gets {path}, from a table of well-known paths: no host is \
             looked at (--firmware-dir reads the descriptors of one)"
        ),
        None if kind == Firmware::Efi => format!(
            "<os firmware='{kind}'> is chosen from a table of well-known paths: no host is looked \
             at (--firmware-dir reads the descriptors of one)"
        ),
        None => return None,
    };
    Some(Note::new(message, domain.os.span.0.clone()))
}

/// Returns the note that a dry run without root may show other firmware than a start by root gets.
pub(crate) fn unseen_record_note(domain: &Domain, is_root: bool) -> Option<&'static str> {
    let is_unseen = !is_root && domain.os.leaves_firmware_open();
    is_unseen.then_some(
        "without root, the guest's record is not read: a start by root prefers the firmware of \
         the last start, which may be other firmware than this",
    )
}

/// Returns whether descriptors have a part in a domain's firmware.
fn has_choice(domain: &Domain) -> bool {
    let kind = domain.os.loader.as_ref().and_then(|loader| loader.kind);
    domain.os.firmware.is_some() || kind == Some(LoaderType::Pflash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_record_is_noted_for_an_open_choice_only() {
        let mut domain = Domain::default();
        assert_eq!(unseen_record_note(&domain, false), None);

        domain.os.firmware = Some(Firmware::Efi);
        let note = unseen_record_note(&domain, false).unwrap_or_default();
        assert!(note.contains("the firmware of the last start"), "{note}");
        assert_eq!(unseen_record_note(&domain, true), None);

        domain.os.loader.get_or_insert_default().path = Some("/own/code".into());
        assert_eq!(unseen_record_note(&domain, false), None);
    }
}
