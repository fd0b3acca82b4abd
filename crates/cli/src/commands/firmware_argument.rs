//! The argument `--firmware-dir`.

use std::path::PathBuf;

use passthru_domain::Domain;
use passthru_qemu::FirmwareCatalog;

use crate::error::Error;
use crate::firmware::Firmwares;
use crate::message::say;

/// Folders of firmware descriptors that the user named.
#[derive(clap::Args)]
pub(super) struct FirmwareArgument {
    /// Folder of firmware descriptors for `<os firmware=…>` [default: a table of well-known paths]
    ///
    /// May be repeated: a file hides the one of the same name in a later folder. On a host, the
    /// folders are /etc/qemu/firmware and /usr/share/qemu/firmware.
    #[arg(long = "firmware-dir", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

impl FirmwareArgument {
    /// Returns the firmwares of the folders; without folders, those at well-known paths. Prints
    /// notes on files that are not descriptors.
    pub(super) fn catalog(&self) -> Result<FirmwareCatalog, Error> {
        let found = Firmwares::in_folders(&self.folders)?;
        for note in found.notes {
            say!("note: {note}");
        }
        Ok(found.catalog)
    }

    /// Returns whether the table of well-known paths decides on the firmware of a domain, which is
    /// not complete yet.
    pub(super) fn takes_table(&self, domain: &Domain) -> bool {
        self.folders.is_empty() && domain.os.leaves_firmware_open()
    }
}
