//! Notes about settings without effect.

use crate::common::{accepted, guest};
use crate::helpers::complete;

#[test]
fn device_settings_without_effect_are_noted() {
    let interface = "<interface type='ethernet'><model type='virtio'/><bandwidth>\
        <inbound average='9'/></bandwidth></interface>";
    let disk = "<disk type='file'><source file='/a'/><target dev='vda'/><iotune>\
        <total_iops_sec>9</total_iops_sec></iotune></disk>";
    let notes = complete("q35", &format!("{interface}{disk}")).notes();
    for setting in ["bandwidth of <interface>", "iotune of <disk>"] {
        assert!(
            notes.iter().any(|note| note.message.contains(setting)),
            "{setting}: {notes:?}"
        );
    }
}

#[test]
fn vendor_of_an_ata_disk_is_noted() {
    let disk = |bus: &str| {
        let disk = format!(
            "<disk type='file'><source file='/a'/><target dev='sda' bus='{bus}'/>\
             <vendor>ACME</vendor><product>Rotor 1</product></disk>"
        );
        complete("q35", &disk).notes()
    };
    let notes = disk("sata");
    let has_note = notes
        .iter()
        .any(|note| note.message.contains("vendor of <disk>"));
    assert!(has_note, "{notes:?}");
    assert_eq!(disk("scsi"), []);
}

#[test]
fn assigned_card_is_noted_to_keep_its_mac_address() {
    let interface = "<interface type='hostdev'><mac address='52:54:00:00:00:01'/>\
        <source><address type='pci' domain='0' bus='1' slot='2' function='0'/></source>\
        </interface>";
    let notes = complete("q35", interface).notes();
    assert!(
        notes
            .iter()
            .any(|note| note.message.contains("not set on 0000:01:02.0")),
        "{notes:?}"
    );
    assert!(
        !complete("q35", "<interface type='user'/>")
            .notes()
            .iter()
            .any(|note| note.message.contains("MAC"))
    );
}

#[test]
fn devices_that_a_set_argument_changes_are_noted() {
    let line = "<qemu:commandline><qemu:arg value='-set'/>\
        <qemu:arg value='device.hostdev0.x-vga=on'/></qemu:commandline></domain>";
    let namespace = "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
    let xml = guest("q35", "")
        .replace("</domain>", line)
        .replacen("<domain", namespace, 1);
    let notes = accepted(&xml).notes();
    let [note] = notes.as_slice() else {
        panic!("{notes:?}")
    };

    assert!(note.message.contains("hostdev0"), "{}", note.message);

    let span = note.span.clone().unwrap_or_default();
    assert!(xml[span].starts_with("<qemu:commandline"));
}
