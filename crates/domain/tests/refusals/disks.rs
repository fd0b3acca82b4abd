//! Disks.

use crate::common::{check, guest};
use crate::helpers::{accepted, refused};

fn file_disk(attributes: &str, inner: &str) -> String {
    format!("<disk type='file' {attributes}>{inner}</disk>")
}

#[test]
fn contradictory_disks_are_refused() {
    let image = "<source file='/x'/>";
    let two = file_disk("", &format!("{image}<target dev='vda'/>")).repeat(2);
    refused("q35", &two, "two disks have the target 'vda'", "<disk");
    let sata = |dev| {
        file_disk(
            "",
            &format!("{image}<target dev='{dev}' bus='sata'/><address type='drive' unit='0'/>"),
        )
    };
    refused(
        "q35",
        &format!("{}{}", sata("sda"), sata("sdb")),
        "'sda' and 'sdb' have the same drive address",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", "<target dev='vda'/>"),
        "disk 'vda' needs a <source>",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("device='cdrom'", "<target dev='vda'/>"),
        "a cdrom cannot be on the bus 'virtio'",
        "<disk",
    );
    refused(
        "virt",
        &file_disk("device='floppy'", "<target dev='fda'/>"),
        "no floppy controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", &format!("{image}<target dev='hda'/>")),
        "no IDE controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk(
            "",
            &format!("{image}<target dev='sda' bus='sata'/><readonly/>"),
        ),
        "cannot be read-only",
        "<disk",
    );
    refused(
        "virt",
        &file_disk("", &format!("{image}<target dev='sda' bus='usb'/>")),
        "no USB controller",
        "<disk",
    );
    refused(
        "q35",
        &file_disk(
            "",
            &format!("<driver io='native'/>{image}<target dev='vda'/>"),
        ),
        "io='native' needs",
        "<disk",
    );
    refused(
        "q35",
        &file_disk("", &format!("{image}<target dev='v1'/>")),
        "'v1' is not the name of a disk",
        "<disk",
    );
    let far = "<target dev='sda' bus='sata'/><address type='drive' unit='6'/>";
    refused(
        "q35",
        &file_disk("", &format!("{image}{far}")),
        "unit 6 of its address is above 5",
        "<disk",
    );
    let beyond = "<target dev='sda' bus='scsi'/><address type='drive' controller='4000000000'/>";
    refused(
        "q35",
        &file_disk("", &format!("{image}{beyond}")),
        "there is no 'scsi' controller 4000000000",
        "<disk",
    );
}

fn named(bus: &str, names: &str) -> String {
    file_disk(
        "",
        &format!("<source file='/x'/><target dev='sda' bus='{bus}'/>{names}"),
    )
}

#[test]
fn names_of_disks_depend_on_the_bus() {
    let long = "<product>a model of up to forty characters</product>";
    for (machine, bus) in [("q35", "sata"), ("pc", "ide"), ("pc", "sata")] {
        accepted(machine, &named(bus, &format!("<vendor>V</vendor>{long}")));
    }

    accepted(
        "q35",
        &named("scsi", "<vendor>V</vendor><product>P</product>"),
    );
    refused("q35", &named("scsi", long), "at most 16", "<disk");
    let longer = format!("<product>{}</product>", "a".repeat(41));
    refused("q35", &named("sata", &longer), "at most 40", "<disk");
    refused(
        "q35",
        &named("usb", "<product>P</product>"),
        "can have a product",
        "<disk",
    );
}

/// Returns the hints for a guest with these disks, in source order.
fn hints(machine: &str, disks: &str) -> Vec<String> {
    let errors = check(&guest(machine, disks)).unwrap_err();
    let hints = errors.iter().map(|e| e.hint.clone().unwrap_or_default());
    hints.collect()
}

#[test]
fn disk_without_a_bus_gets_one_that_works_for_it() {
    let cdrom = file_disk("device='cdrom'", "<target dev='hda' bus='ide'/>");
    let disk = file_disk("", "<source file='/x'/><target dev='hdb' bus='ide'/>");
    assert_eq!(
        hints("q35", &format!("{cdrom}{disk}")),
        [
            "use the bus 'sata' or 'scsi'",
            "use the bus 'sata' or 'virtio'",
        ]
    );
    assert_eq!(hints("s390-ccw-virtio", &cdrom), ["use the bus 'scsi'"]);
    assert_eq!(
        hints("s390-ccw-virtio", &disk),
        ["use the bus 'virtio' or 'scsi'"]
    );

    let on_virtio = file_disk("device='cdrom'", "<target dev='vda' bus='virtio'/>");
    assert_eq!(hints("q35", &on_virtio), ["use the bus 'sata' or 'scsi'"]);
}
