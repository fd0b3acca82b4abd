//! Aliases of the devices, which are their ids in the emulator.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{check, guest};

fn aliases(machine: &str, devices: &str) -> Vec<String> {
    let domain = check(&guest(machine, devices)).unwrap();
    let items = domain.devices.items().into_iter();
    items
        .map(|item| domain.devices.info(item).unwrap().id().to_owned())
        .collect()
}

#[test]
fn aliases_on_pc_match_libvirts() {
    let devices = "<disk type='file'><source file='/a'/><target dev='vdb'/></disk>\
        <disk type='file'><source file='/b'/><target dev='hdc'/></disk>\
        <disk type='file'><source file='/c'/><target dev='sda' bus='scsi'/></disk>\
        <disk type='file' device='floppy'><target dev='fda'/></disk>\
        <controller type='usb'/><controller type='usb' model='ehci'/>\
        <console type='pty'/><console type='pty'><target type='virtio'/></console>";
    let disks = ["virtio-disk1", "ide0-1-0", "scsi0-0-0", "fdc0-0-0"];
    let controllers = [
        "usb",
        "usb1",
        "pci.0",
        "scsi0",
        "fdc0",
        "ide",
        "virtio-serial0",
    ];
    let others = [
        "serial0", "serial0", "console1", "input0", "input1", "balloon0",
    ];

    assert_eq!(
        aliases("pc", devices),
        [&disks[..], &controllers, &others].concat()
    );
}

#[test]
fn aliases_on_q35_match_libvirts() {
    let devices = "<disk type='file'><source file='/a'/><target dev='sdg' bus='sata'/></disk>\
        <disk type='file'><source file='/b'/><target dev='sda' bus='scsi'/><alias name='ua-data'/>\
        </disk>\
        <disk type='file'><source file='/c'/><target dev='sdb' bus='usb'/></disk>\
        <controller type='scsi' model='virtio-scsi'/>\
        <interface type='user'/>\
        <hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>\
        <rng model='virtio'><backend model='builtin'/></rng>\
        <memballoon model='none'/><iommu model='intel'/>";
    let disks = ["sata1-0-0", "ua-data", "usb-disk1"];
    let ports: Vec<String> = (1..=8).map(|n| format!("pci.{n}")).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let controllers = [&["scsi0", "usb", "ide", "sata1", "pcie.0"], &ports[..]].concat();
    let cards = ["net0", "hostdev0"];
    let others = [
        "input0",
        "input1",
        "watchdog0",
        "rng0",
        "iommu0",
        "balloon0",
    ];

    assert_eq!(
        aliases("q35", devices),
        [&disks[..], &cards, &controllers, &others].concat()
    );
}

fn named_hostdev(function: u8) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source><address bus='1' function='{function}'/>\
         </source><alias name='hostdev0'/></hostdev>"
    )
}

#[test]
fn aliases_of_a_running_guest_are_ignored() {
    let serials = "<controller type='virtio-serial' index='0'><alias name='serials'/></controller>";
    let devices = format!("{}{}{serials}", named_hostdev(0), named_hostdev(1));
    let found = aliases("q35", &devices);
    for expected in ["hostdev0", "hostdev1", "virtio-serial0"] {
        let count = found.iter().filter(|alias| *alias == expected).count();
        assert_eq!(count, 1, "{expected}: {found:?}");
    }

    let written = check(&guest("q35", &devices)).unwrap().format();

    assert!(!written.contains("<alias"), "{written}");
}

#[test]
fn formatted_guest_keeps_its_aliases() {
    let devices = "<interface type='user'><alias name='net7'/></interface>\
        <interface type='user'><alias name='ua-uplink'/></interface>";
    let domain = check(&guest("q35", devices)).unwrap();
    let again = check(&domain.format()).unwrap();
    for (first, second) in domain
        .devices
        .items()
        .into_iter()
        .zip(again.devices.items())
    {
        let info = domain.devices.info(first).unwrap();
        let other = again.devices.info(second).unwrap();
        assert_eq!(info.id(), other.id());
    }

    assert_eq!(domain.devices.interfaces[0].info().id(), "net0");
    assert_eq!(domain.devices.interfaces[1].info().id(), "ua-uplink");
}
