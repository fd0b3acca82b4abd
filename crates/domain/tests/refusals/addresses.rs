//! PCI addresses, address types and ACPI indexes.

use crate::helpers::{VIRTIO_NET, accepted, hostdev, refused};

#[test]
fn duplicate_pci_address_names_both_devices() {
    let net = format!("{VIRTIO_NET}<address type='pci' slot='4'/></interface>");
    let assigned = hostdev("bus='1'", "<address type='pci' slot='4'/>");
    let devices = format!("{net}{assigned}");
    refused(
        "pc",
        &devices,
        "0000:00:04.0 is used twice: by interface 0 and by hostdev 0000:01:00.0",
        "<hostdev",
    );
    refused(
        "q35",
        &hostdev("bus='1'", "<address type='pci' slot='0x1f'/>"),
        "by the board's ISA bridge and by hostdev 0000:01:00.0",
        "<hostdev",
    );
}

fn card_at(address: &str) -> String {
    format!("{VIRTIO_NET}<address type='pci' {address}/></interface>")
}

#[test]
fn pci_address_out_of_range_is_refused() {
    refused(
        "pc",
        &card_at("domain='1' slot='4'"),
        "a guest has only domain 0",
        "<interface",
    );
    refused(
        "pc",
        &card_at("slot='0x20'"),
        "slot 0x20 is above 0x1f",
        "<address",
    );
    refused(
        "pc",
        &card_at("bus='0x100' slot='1'"),
        "'bus' of <address> is '0x100'",
        "0x100",
    );
    refused(
        "q35",
        &card_at("bus='1' slot='3'"),
        "out of range: a pcie-root-port has only slot 0",
        "<interface",
    );
    refused(
        "pc",
        &card_at("bus='1' slot='0' function='1'"),
        "out of range: a pci-bridge has 0x1 to 0x1f",
        "<interface",
    );
    accepted("q35", &card_at("bus='1' slot='0'"));
    accepted("q35", &card_at("slot='7'"));
}

#[test]
fn device_directly_on_an_expander_is_refused() {
    let devices = format!(
        "<controller type='pci' index='1' model='pcie-expander-bus'/>{}",
        hostdev("bus='1'", "<address type='pci' bus='1' slot='0'/>")
    );
    refused(
        "q35",
        &devices,
        "index 1 (pcie-expander-bus); it needs a controller that accepts",
        "<hostdev",
    );
}

fn disk_at(bus: &str, address: &str) -> String {
    format!("<disk type='file'><source file='/x'/><target dev='sda' bus='{bus}'/>{address}</disk>")
}

#[test]
fn address_of_the_wrong_type_is_refused() {
    refused(
        "q35",
        &disk_at("sata", "<address type='pci' slot='4'/>"),
        "disk 'sda' is not a PCI device",
        "<disk",
    );
    refused(
        "q35",
        &disk_at("virtio", "<address type='drive'/>"),
        "needs an address of type 'pci', not 'drive'",
        "<disk",
    );
    refused(
        "q35",
        "<memballoon model='virtio'><address type='virtio-mmio'/></memballoon>",
        "memballoon is not on a machine with virtio-mmio",
        "<mem",
    );
}

#[test]
fn pci_device_without_a_pci_bus_is_refused() {
    refused(
        "microvm",
        "<interface type='user'><model type='e1000'/></interface>",
        "interface 0 is a PCI device, but the machine 'microvm' has no PCI bus",
        "<interface",
    );
}

#[test]
fn duplicate_acpi_index_names_both_devices() {
    let card = format!("{VIRTIO_NET}<acpi index='7'/></interface>");
    refused(
        "q35",
        &card.repeat(2),
        "the index 7 of <acpi> is used twice: by interface 0 and by interface 1",
        "<interface",
    );
}

#[test]
fn address_of_an_absent_device_is_ignored() {
    let at = "<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/>";
    let usb = format!("<controller type='usb' index='0' model='none'>{at}</controller>");
    let balloon = format!("<memballoon model='none'>{at}</memballoon>");
    let video = format!("<video><model type='none'/>{at}</video>");
    let card = format!("{VIRTIO_NET}{at}</interface>");
    for machine in ["q35", "pc", "virt"] {
        accepted(machine, &format!("{usb}{balloon}{video}"));
    }

    accepted("pc", &format!("{usb}{balloon}{video}{card}"));
}
