//! Guests on s390x: numbers of channel devices, ids of PCI functions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

use common::guest;

const NET: &str = "<interface type='user'><model type='virtio'/>";

#[track_caller]
fn refused(machine: &str, devices: &str, words: &str) {
    common::refused(&guest(machine, devices), words, "");
}

#[track_caller]
fn accepted(devices: &str) -> Domain {
    common::accepted(&guest("s390-ccw-virtio", devices))
}

fn pci(bus: u8, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source><address bus='{bus}'/>\
         </source>{inner}</hostdev>"
    )
}

fn ccw(devno: &str) -> String {
    format!("<address type='ccw' cssid='0xfe' ssid='0x0' devno='{devno}'/>")
}

/// Returns the uid, the fid and the slot of a host device.
fn ids(domain: &Domain, n: usize) -> (u16, u32, u8) {
    match domain
        .devices
        .info(Item::Hostdev(n))
        .unwrap()
        .address
        .clone()
    {
        Some(Address::Pci(pci)) => {
            let zpci = pci.zpci.unwrap();
            (
                zpci.uid.unwrap(),
                zpci.fid.unwrap(),
                pci.address.unwrap().slot,
            )
        }
        other => panic!("{other:?}"),
    }
}

fn channel_number(domain: &Domain, item: Item) -> String {
    match domain.devices.info(item).unwrap().address.clone() {
        Some(Address::Ccw(ccw)) => ccw.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn channel_devices_get_the_lowest_free_numbers() {
    let devices = format!(
        "{NET}{}</interface>{NET}</interface>{NET}</interface><memballoon model='virtio'/>",
        ccw("1")
    );
    let domain = accepted(&devices);
    let cards = [0, 1, 2].map(|n| channel_number(&domain, Item::Interface(n)));
    assert_eq!(cards, ["fe.0.0001", "fe.0.0000", "fe.0.0002"]);

    let balloon = channel_number(&domain, Item::Memballoon(0));
    assert_eq!(balloon, "fe.0.0003");
}

#[test]
fn duplicate_channel_number_names_both_devices() {
    let two = format!("{NET}{0}</interface>{NET}{0}</interface>", ccw("0x0007"));
    refused(
        "s390-ccw-virtio",
        &two,
        "the channel address fe.0.0007 is used twice: by interface 0 and by interface 1",
    );
}

#[test]
fn channel_address_of_other_devices_is_refused() {
    refused(
        "q35",
        &format!("{NET}{}</interface>", ccw("1")),
        "is not on a machine with channels",
    );
    let function = pci(1, &ccw("1"));
    refused(
        "s390-ccw-virtio",
        &function,
        "is not a channel device: it cannot have an address of type 'ccw'",
    );
    let subchannel = "<hostdev mode='subsystem' type='mdev' model='vfio-ccw'><source>\
        <address uuid='11111111-2222-4333-8444-555555555555'/></source>\
        <address type='pci' slot='1'/></hostdev>";
    refused(
        "s390-ccw-virtio",
        subchannel,
        "is not a PCI device: it cannot have an address of type 'pci'",
    );
}

#[test]
fn channel_address_out_of_range_is_refused() {
    for wrong in [
        "cssid='0xff' ssid='0' devno='0'",
        "cssid='0xfe' ssid='4' devno='0'",
    ] {
        let devices = format!("{NET}<address type='ccw' {wrong}/></interface>");
        refused(
            "s390-ccw-virtio",
            &devices,
            "a cssid up to 0xfe and an ssid up to 0x3",
        );
    }

    let devices = format!("{NET}<address type='ccw' cssid='0xfe' ssid='0'/></interface>");
    refused("s390-ccw-virtio", &devices, "needs cssid, ssid and devno");
}

#[test]
fn missing_zpci_ids_become_the_lowest_free_ones() {
    let domain = accepted(&format!(
        "{}{}{}",
        pci(1, ""),
        pci(2, "<address type='pci'><zpci uid='0x1'/></address>"),
        pci(
            3,
            "<address type='pci' slot='1'><zpci uid='0x3' fid='0x1'/></address>"
        ),
    ));
    assert_eq!(
        ids(&domain, 0),
        (2, 2, 2),
        "devices with one of the two ids come first"
    );
    assert_eq!(ids(&domain, 1), (1, 0, 3));
    assert_eq!(ids(&domain, 2), (3, 1, 1));

    let again = domain.format();
    assert!(
        again.contains("<zpci uid='0x0002' fid='0x00000002'/>"),
        "{again}"
    );
}

fn pci_with_ids(bus: u8, zpci: &str) -> String {
    pci(
        bus,
        &format!("<address type='pci'><zpci {zpci}/></address>"),
    )
}

#[test]
fn impossible_zpci_ids_are_refused() {
    refused(
        "s390-ccw-virtio",
        &pci_with_ids(1, "uid='0' fid='1'"),
        "uid of <zpci> is 0x0000",
    );
    let two = format!(
        "{}{}",
        pci_with_ids(1, "uid='5' fid='1'"),
        pci_with_ids(2, "uid='5' fid='2'")
    );
    refused(
        "s390-ccw-virtio",
        &two,
        "the uid 0x0005 of <zpci> is used twice",
    );
    let two = format!(
        "{}{}",
        pci_with_ids(1, "uid='5' fid='1'"),
        pci_with_ids(2, "uid='6' fid='1'")
    );
    refused(
        "s390-ccw-virtio",
        &two,
        "the fid 0x00000001 of <zpci> is used twice",
    );
    refused("q35", &pci_with_ids(1, "uid='5'"), "is for s390x only");
}

fn crypto_adapter(uuid: u32) -> String {
    format!(
        "<hostdev mode='subsystem' type='mdev' model='vfio-ap'><source>\
             <address uuid='11111111-2222-4333-8444-{uuid:012}'/></source></hostdev>"
    )
}

#[test]
fn crypto_adapter_has_no_address_and_a_second_is_refused() {
    let domain = accepted(&crypto_adapter(1));
    assert_eq!(domain.devices.info(Item::Hostdev(0)).unwrap().address, None);

    refused(
        "s390-ccw-virtio",
        &format!("{}{}", crypto_adapter(1), crypto_adapter(2)),
        "only one hostdev can be of model 'vfio-ap'",
    );
}
