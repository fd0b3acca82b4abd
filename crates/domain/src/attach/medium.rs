//! Media of CD-ROM drives.

use crate::complete::disks;
use crate::error::Error;
use crate::model::device::disk::{Disk, DiskDevice};

/// Returns whether a disk of a document is a medium for a drive of the guest: both are CD-ROMs with
/// the same target.
pub(super) fn is_for(medium: &Disk, drive: &Disk) -> bool {
    let cdrom = Some(DiskDevice::Cdrom);
    medium.device == cdrom && drive.device == cdrom && medium.target.dev == drive.target.dev
}

/// Puts a medium into a drive: source, format and what goes with them. The drive keeps all else. A
/// disk without a source empties the drive.
///
/// # Errors
/// If the XML of the medium names something else of the drive than the drive has, then an error.
pub(super) fn put_in(drive: &mut Disk, mut medium: Disk) -> Result<(), Error> {
    if let Some(part) = changed_part(drive, &medium) {
        let dev = &drive.target.dev;
        let message = format!(
            "drive '{dev}' gets another medium, but keeps its {part}, which the document changes"
        );
        let error = Error::new(message).at(medium.info.span.0);
        return Err(error.hint(format!("leave its {part} out, or as the guest has it")));
    }

    medium.target.bus = drive.target.bus;
    medium.info.address.clone_from(&drive.info.address);
    disks::fill_one(&mut medium);
    drive.info.span = medium.info.span;
    drive.kind = medium.kind;
    drive.driver = medium.driver;
    drive.auth = medium.auth;
    drive.source = medium.source;
    drive.backing = medium.backing;
    drive.encryption = medium.encryption;
    Ok(())
}

/// Returns the name of a part of the drive that the XML of a medium names otherwise.
fn changed_part(drive: &Disk, medium: &Disk) -> Option<&'static str> {
    let info = &medium.info;
    let parts = [
        ("bus", differs(&medium.target.bus, &drive.target.bus)),
        ("address", differs(&info.address, &drive.info.address)),
        ("alias", differs(&info.alias, &drive.info.alias)),
        ("boot order", differs(&info.boot, &drive.info.boot)),
        ("serial number", differs(&medium.serial, &drive.serial)),
        ("WWN", differs(&medium.wwn, &drive.wwn)),
        ("vendor", differs(&medium.vendor, &drive.vendor)),
        ("product", differs(&medium.product, &drive.product)),
        ("block size", differs(&medium.blockio, &drive.blockio)),
    ];
    let mut changed = parts.into_iter().filter(|(_, differs)| *differs);
    changed.next().map(|(part, _)| part)
}

/// Returns whether a value is given and another one than the drive's.
fn differs<T: PartialEq>(said: &Option<T>, present: &Option<T>) -> bool {
    said.is_some() && said != present
}
