//! Host devices of each type: models, addresses and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

use common::{check, guest};

#[track_caller]
fn refused(devices: &str, words: &str) {
    common::refused(&guest("q35", devices), words, "");
}

#[track_caller]
fn accepted(devices: &str) -> Domain {
    common::accepted(&guest("q35", devices))
}

fn mdev(attributes: &str, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='mdev' {attributes}><source>\
         <address uuid='11111111-2222-4333-8444-555555555555'/></source>{inner}</hostdev>"
    )
}

fn usb(source: &str, inner: &str) -> String {
    format!("<hostdev mode='subsystem' type='usb'><source>{source}</source>{inner}</hostdev>")
}

fn scsi(unit: u32, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host1'/>\
         <address bus='0' target='0' unit='{unit}'/></source>{inner}</hostdev>"
    )
}

const VHOST: &str = "<hostdev mode='subsystem' type='scsi_host'>\
    <source protocol='vhost' wwpn='naa.5001405123456789'/>";

fn pci(attributes: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci' {attributes}><source><address bus='1'/></source>\
         </hostdev>"
    )
}

fn alias(domain: &Domain, item: Item) -> &str {
    domain.devices.info(item).unwrap().id()
}

/// Returns the USB bus and port of a host device.
fn usb_port(domain: &Domain, n: usize) -> (u32, String) {
    let info = domain.devices.info(Item::Hostdev(n)).unwrap();
    match info.address.clone() {
        Some(Address::Usb(at)) => (at.bus.unwrap(), at.port.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn mediated_device_without_a_fitting_model_is_refused() {
    refused(&mdev("", ""), "needs the attribute 'model'");
    refused(
        &mdev("model='virtio-transitional'", ""),
        "not a model of a hostdev of type 'mdev'",
    );
    refused(
        &mdev("model='vfio-ccw'", ""),
        "is for s390x only, not for 'q35'",
    );
    refused(
        &mdev("model='vfio-pci'", "<address type='drive'/>"),
        "needs an address of type 'pci', not 'drive'",
    );
    let xml = accepted(&mdev("model='vfio-pci'", "")).format();

    assert!(
        xml.contains("managed='no' model='vfio-pci' display='off'"),
        "{xml}"
    );
}

#[test]
fn display_without_graphics_is_refused() {
    refused(&pci("display='on'"), "needs a <graphics> to show it");
    refused(
        &pci("ramfb='on'"),
        "ramfb='on' of a hostdev needs display='on'",
    );
    accepted(&format!(
        "<graphics type='vnc'/>{}",
        pci("display='on' ramfb='on'")
    ));
    let usb =
        usb("<address bus='1' device='2'/>", "").replace("type='usb'", "type='usb' display='on'");
    refused(&usb, "for devices of model 'vfio-pci' only");
}

fn twice(device: String) -> String {
    device.repeat(2)
}

#[test]
fn host_device_given_twice_is_refused() {
    refused(
        &twice(usb("<address bus='3' device='4'/>", "")),
        "usb 3:4 is given to the guest twice",
    );
    let id = "<vendor id='0x1'/><product id='0x2'/>";
    refused(
        &twice(usb(id, "")),
        "usb 0001:0002 is given to the guest twice",
    );
    refused(
        &twice(scsi(7, "")),
        "scsi_host1:0:0:7 is given to the guest twice",
    );
    refused(
        &twice(mdev("model='vfio-pci'", "")),
        "11111111-2222-4333-8444-555555555555 is given to the guest twice",
    );
    refused(
        &twice(format!("{VHOST}</hostdev>")),
        "naa.5001405123456789 is given to the guest twice",
    );
    let card =
        "<interface type='hostdev'><source><address type='pci' bus='1'/></source></interface>";
    refused(
        &format!("{card}{}", pci("")),
        "0000:01:00.0 is given to the guest twice",
    );
}

#[test]
fn incomplete_source_is_refused() {
    refused(
        &usb("<vendor id='0x1'/>", ""),
        "needs <vendor> and <product> together",
    );
    refused(
        &usb("", ""),
        "needs <vendor> and <product>, or an <address>",
    );
    refused(&usb("<address bus='1'/>", ""), "needs bus= and device=");
    refused(
        &VHOST
            .replace("naa.5001405123456789", "5001405123456789")
            .replace("'/>", "'/></hostdev>"),
        "expected 'naa.'",
    );
    refused(
        &scsi(1, "").replace("<adapter name='scsi_host1'/>", ""),
        "needs an <adapter> and an <address>",
    );
    refused("<hostdev mode='subsystem' type='pci'/>", "needs a <source>");
    refused(
        "<interface type='hostdev'/>",
        "needs a <source> with the device's <address>",
    );
}

#[test]
fn hostdev_without_a_mode_is_a_subsystem_device() {
    let said = pci("");
    let unsaid = said.replace("mode='subsystem' ", "");
    assert_ne!(said, unsaid);
    accepted(&unsaid);
}

#[test]
fn scsi_attributes_on_other_devices_are_refused() {
    for (attribute, name) in [("rawio='yes'", "rawio"), ("sgio='filtered'", "sgio")] {
        refused(&pci(attribute), &format!("{name} is for SCSI devices only"));
        accepted(&scsi(1, "").replace("type='scsi'", &format!("type='scsi' {attribute}")));
    }

    refused(
        &mdev("model='vfio-pci'", "<readonly/>"),
        "readonly is for SCSI devices only",
    );
    refused(
        &scsi(1, "").replace("type='scsi'", "type='scsi' sgio='unfiltered'"),
        "current kernels always filter",
    );
}

#[test]
fn boot_order_of_unbootable_device_is_refused() {
    refused(
        &format!("{VHOST}<boot order='1'/></hostdev>"),
        "cannot boot from a SCSI target of the kernel",
    );
    refused(
        &mdev("model='vfio-ap'", "<boot order='1'/>"),
        "cannot boot from a device of model 'vfio-ap'",
    );
    accepted(&scsi(1, "<boot order='1'/>"));
}

#[test]
fn scsi_devices_get_the_free_units() {
    let controller = "<controller type='scsi' index='0' model='virtio-scsi'/>";
    let disk = "<disk type='file'><source file='/d'/><target dev='sdb' bus='scsi'/></disk>";
    let devices: String = (0..9).map(|unit| scsi(unit, "")).collect();
    let domain = accepted(&format!("{controller}{disk}{devices}"));
    let places: Vec<_> = (0..9)
        .map(|n| {
            match domain
                .devices
                .info(Item::Hostdev(n))
                .unwrap()
                .address
                .clone()
            {
                Some(Address::Drive(at)) => (at.controller.unwrap(), at.unit.unwrap()),
                other => panic!("{other:?}"),
            }
        })
        .collect();

    // Unit 1 is the disk's. A controller has seven units for host devices.
    assert_eq!(
        places,
        [
            (0, 0),
            (0, 2),
            (0, 3),
            (0, 4),
            (0, 5),
            (0, 6),
            (1, 0),
            (1, 1),
            (1, 2)
        ]
    );
    assert!(
        domain
            .format()
            .contains("<controller type='scsi' index='1' model='virtio-scsi'>")
    );
}

#[test]
fn disk_and_scsi_device_at_one_unit_are_refused() {
    let disk = "<disk type='file'><source file='/d'/><target dev='sda' bus='scsi'/></disk>";
    let there = scsi(
        1,
        "<address type='drive' controller='0' bus='0' target='0' unit='0'/>",
    );
    refused(
        &format!("{disk}{there}"),
        "at unit 0:0:0:0 of the SCSI buses, where disk 'sda' is already",
    );
}

#[test]
fn chosen_usb_ports_are_not_written() {
    let devices = format!(
        "<controller type='usb' index='0' model='qemu-xhci' ports='2'/>\
         <controller type='usb' index='1' model='ehci'/>{}{}{}",
        usb(
            "<address bus='1' device='2'/>",
            "<address type='usb' bus='0' port='1'/>"
        ),
        usb("<address bus='1' device='3'/>", ""),
        usb("<address bus='1' device='4'/>", ""),
    );
    let domain = accepted(&devices);
    assert_eq!(
        [0, 1, 2].map(|n| usb_port(&domain, n)),
        [(0, "1".into()), (0, "2".into()), (1, "1".into())]
    );
    assert_eq!(
        domain.format().matches("type='usb' bus=").count(),
        1,
        "{}",
        domain.format()
    );

    let on_bus = usb(
        "<address bus='1' device='2'/>",
        "<address type='usb' bus='0'/>",
    );
    let text = accepted(&format!("<controller type='usb' model='ehci'/>{on_bus}")).format();
    assert!(
        text.contains("<address type='usb' bus='0'/>"),
        "a given bus stays: {text}"
    );

    let none = format!(
        "<controller type='usb' model='none'/>{}",
        usb("<address bus='1' device='2'/>", "")
    );
    assert!(check(&guest("q35", &none)).is_err());
}

fn assigned_card(bus: u8) -> String {
    format!(
        "<interface type='hostdev'><source><address type='pci' bus='{bus}'/></source></interface>"
    )
}

#[test]
fn assigned_cards_have_hostdev_aliases() {
    let user = "<interface type='user'/>";
    let named = pci("").replace("</hostdev>", "<alias name='ua-gpu'/></hostdev>");
    let last = pci("").replace("bus='1'", "bus='9'");
    let domain = accepted(&format!(
        "{}{user}{}{user}{named}{last}",
        assigned_card(7),
        assigned_card(8)
    ));

    assert_eq!(
        [0, 1, 2, 3].map(|n| alias(&domain, Item::Interface(n))),
        ["hostdev0", "net0", "hostdev1", "net1"]
    );
    assert_eq!(
        [0, 1].map(|n| alias(&domain, Item::Hostdev(n))),
        ["ua-gpu", "hostdev2"]
    );
}

fn virtio_card(teaming: &str) -> String {
    format!(
        "<interface type='user'><model type='virtio'/>{teaming}<alias name='ua-stays'/></interface>"
    )
}

fn host_card(teaming: &str) -> String {
    pci("").replace("</hostdev>", &format!("{teaming}</hostdev>"))
}

#[test]
fn teaming_without_a_persistent_virtio_card_is_refused() {
    let transient = "<teaming type='transient' persistent='ua-stays'/>";
    accepted(&format!(
        "{}{}",
        virtio_card("<teaming type='persistent'/>"),
        host_card(transient)
    ));
    refused(
        &format!("{}{}", virtio_card(""), host_card(transient)),
        "no interface with that alias has <teaming type='persistent'/>",
    );
    refused(&virtio_card(transient), "is for a host device only");
    let e1000 =
        virtio_card("<teaming type='persistent'/>").replace("type='virtio'", "type='e1000'");
    refused(&e1000, "is for a card of model 'virtio'");
    refused(
        &host_card("<teaming type='transient'/>"),
        "needs 'persistent', the alias",
    );
    refused(
        &host_card("<teaming type='persistent'/>"),
        "is for a virtio card",
    );
}

#[test]
fn unassigned_device_has_no_address() {
    let kept = pci("").replace("</hostdev>", "<address type='unassigned'/></hostdev>");
    let domain = accepted(&kept);
    assert_eq!(domain.devices.pci_address(Item::Hostdev(0)), None);

    refused(
        "<rng model='virtio'><backend model='builtin'/><address type='unassigned'/></rng>",
        "is not a host device",
    );
}
