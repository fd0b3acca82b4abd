//! Media of CD-ROM drives.

use passthru_domain::Domain;
use passthru_domain::device::Item;
use passthru_domain::device::disk::{DiskBus, ImageFormat};

use crate::helpers::{plug, refused, running};

fn cdrom(inner: &str) -> String {
    format!("<disk type='file' device='cdrom'>{inner}</disk>")
}

fn with_drive() -> Domain {
    let drive = cdrom(
        "<driver name='qemu' type='raw'/><source file='/images/a.iso'/>\
         <target dev='sda' bus='sata'/><serial>77</serial>",
    );
    running("q35", &drive)
}

#[test]
fn cdrom_of_a_known_target_is_a_new_medium() {
    let domain = with_drive();
    let medium = cdrom(
        "<driver name='qemu' type='qcow2'/><source file='/images/b.qcow2'/><target dev='sda'/>",
    );
    let plugged = plug(&domain, &medium);
    let plugged = plugged.unwrap();

    assert_eq!(plugged.items, []);
    assert_eq!(plugged.media, [Item::Disk(0)]);
    assert_eq!(plugged.domain.devices.disks.len(), 1);

    let drive = &plugged.domain.devices.disks[0];
    let source = drive.source.as_ref().unwrap();
    let file = source.file.as_deref();
    let driver = drive.driver.as_ref().unwrap();
    let format = driver.format;
    assert_eq!(file, Some("/images/b.qcow2"));
    assert_eq!(format, Some(ImageFormat::Qcow2));
    assert_eq!(drive.serial.as_deref(), Some("77"));
    assert_eq!(drive.target.bus, Some(DiskBus::Sata));

    let former = &domain.devices.disks[0];
    assert_eq!(drive.info, former.info);
}

#[test]
fn cdrom_without_a_source_empties_the_drive() {
    let plugged = plug(&with_drive(), &cdrom("<target dev='sda'/>")).unwrap();
    let drive = &plugged.domain.devices.disks[0];
    assert_eq!((plugged.media, &drive.source), (vec![Item::Disk(0)], &None));
}

#[test]
fn medium_that_changes_its_drive_is_refused() {
    let domain = with_drive();
    for (inner, part) in [
        ("<target dev='sda' bus='scsi'/>", "bus"),
        ("<target dev='sda'/><serial>78</serial>", "serial number"),
        ("<target dev='sda'/><boot order='3'/>", "boot order"),
        ("<target dev='sda'/><alias name='ua-x'/>", "alias"),
    ] {
        let words = format!("drive 'sda' gets another medium, but keeps its {part}");
        let hint = refused(&domain, &cdrom(inner), &words, "<disk").unwrap();
        assert!(hint.starts_with(&format!("leave its {part} out")), "{hint}");
    }

    let same = "<target dev='sda' bus='sata'/><serial>77</serial>";
    plug(&domain, &cdrom(same)).unwrap();
    let other = cdrom("<source file='/b.iso'/><target dev='sdb' bus='sata'/>");
    refused(
        &domain,
        &other,
        "the bus 'sata' of disks has no hotplug",
        "<disk",
    );
}

#[test]
fn second_medium_of_a_drive_is_refused() {
    let medium = |file: &str| cdrom(&format!("<source file='{file}'/><target dev='sda'/>"));
    let media = medium("/images/b.iso") + &medium("/images/c.iso");
    let document = format!("<devices>{media}</devices>");
    refused(
        &with_drive(),
        &document,
        "two media for the drive 'sda'",
        "<disk type='file'",
    );
}

#[test]
fn drive_of_the_same_document_takes_no_medium() {
    let domain = running("q35", "<controller type='scsi' model='virtio-scsi'/>");
    let drive = |file: &str| {
        cdrom(&format!(
            "<source file='{file}'/><target dev='sdc' bus='scsi'/>"
        ))
    };
    let drives = drive("/images/b.iso") + &drive("/images/c.iso");
    let document = format!("<devices>{drives}</devices>");
    let errors = plug(&domain, &document).unwrap_err();
    let first = errors.iter().next().unwrap();

    assert!(
        first.message.contains("two disks have the target 'sdc'"),
        "{first}"
    );
}
