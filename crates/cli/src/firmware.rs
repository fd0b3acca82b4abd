//! The firmwares that a domain's firmware is chosen from.

use std::path::{Path, PathBuf};

use passthru_domain::firmware::LoaderType;
use passthru_domain::{Domain, Note};
use passthru_guest::{FirmwareDescriptors, Records};
use passthru_qemu::FirmwareCatalog;

use crate::error::Error;

/// Returns the firmwares that folders of descriptors name, and the notes on them. Without folders,
/// those are the firmwares at well-known paths.
pub(crate) fn in_folders(folders: &[PathBuf]) -> Result<(FirmwareCatalog, Vec<String>), Error> {
    if folders.is_empty() {
        return Ok((FirmwareCatalog::WellKnown, Vec::new()));
    }
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    Ok(catalog_and_notes(FirmwareDescriptors::read(&folders)?))
}

/// Returns the firmwares of this host for a guest, and the notes on them. The one of the guest's
/// last start comes first.
pub(crate) fn of_host(
    domain: &Domain,
    records: &Records,
) -> Result<(FirmwareCatalog, Vec<String>), Error> {
    if !has_choice(domain) {
        return Ok((FirmwareCatalog::Named, Vec::new()));
    }
    let name = domain.name.as_deref().unwrap_or_default();
    Ok(catalog_and_notes(FirmwareDescriptors::for_guest(
        name, records,
    )?))
}

/// Returns the note that the firmware of a complete domain, which left the choice open, comes from
/// the table of well-known paths.
pub(crate) fn table_note(domain: &Domain) -> Option<Note> {
    let path = domain.os.loader.as_ref()?.path.as_deref()?;
    let kind = domain.os.firmware?;
    let message = format!(
        "<os firmware='{kind}'> gets {path}, from a table of well-known paths: no host is looked \
         at (--firmware-dir reads the descriptors of one)"
    );
    Some(Note::new(message, domain.os.span.0.clone()))
}

/// Returns whether a domain leaves the file of its firmware to the choice.
pub(crate) fn is_left_open(domain: &Domain) -> bool {
    let loader = domain.os.loader.as_ref();
    domain.os.firmware.is_some() && loader.is_none_or(|loader| loader.path.is_none())
}

/// Returns whether descriptors have a part in a domain's firmware.
fn has_choice(domain: &Domain) -> bool {
    let kind = domain.os.loader.as_ref().and_then(|loader| loader.kind);
    domain.os.firmware.is_some() || kind == Some(LoaderType::Pflash)
}

fn catalog_and_notes(found: FirmwareDescriptors) -> (FirmwareCatalog, Vec<String>) {
    let catalog = FirmwareCatalog::Descriptors(found.descriptors);
    (catalog, found.unusable)
}
