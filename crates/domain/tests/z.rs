//! Guests on Z: channel devices and their numbers, PCI functions and their ids.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::guest;
use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

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
        "<hostdev mode='subsystem' type='pci'><source><address bus='{bus}'/></source>{inner}</hostdev>"
    )
}

fn ccw(devno: &str) -> String {
    format!("<address type='ccw' cssid='0xfe' ssid='0x0' devno='{devno}'/>")
}

/// The uid, the fid and the slot of a hostdev.
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

#[test]
fn channel_numbers_are_the_lowest_that_are_free() {
    let devices = format!(
        "{NET}{}</interface>{NET}</interface>{NET}</interface><memballoon model='virtio'/>",
        ccw("1")
    );
    let domain = accepted(&devices);
    let devno = |item| match domain.devices.info(item).unwrap().address.clone() {
        Some(Address::Ccw(ccw)) => ccw.to_string(),
        other => panic!("{other:?}"),
    };
    let cards = [0, 1, 2].map(|n| devno(Item::Interface(n)));
    assert_eq!(cards, ["fe.0.0001", "fe.0.0000", "fe.0.0002"]);
    assert_eq!(devno(Item::Memballoon(0)), "fe.0.0003");
}

#[test]
fn a_channel_number_that_two_devices_have_names_both() {
    let two = format!("{NET}{0}</interface>{NET}{0}</interface>", ccw("0x0007"));
    refused(
        "s390-ccw-virtio",
        &two,
        "the channel address fe.0.0007 is used twice: by interface 0 and by interface 1",
    );
}

#[test]
fn channel_addresses_elsewhere() {
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
        <address uuid='11111111-2222-4333-8444-555555555555'/></source><address type='pci' slot='1'/></hostdev>";
    refused(
        "s390-ccw-virtio",
        subchannel,
        "is not a PCI device: it cannot have an address of type 'pci'",
    );
}

#[test]
fn channel_addresses_out_of_range() {
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
fn ids_of_functions_that_are_left_out_are_the_lowest_that_are_free() {
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
        "what is said in part comes first"
    );
    assert_eq!(ids(&domain, 1), (1, 0, 3));
    assert_eq!(ids(&domain, 2), (3, 1, 1));
    let again = domain.format();
    assert!(
        again.contains("<zpci uid='0x0002' fid='0x00000002'/>"),
        "{again}"
    );
}

#[test]
fn ids_of_functions_that_cannot_be() {
    let with = |bus, zpci: &str| {
        pci(
            bus,
            &format!("<address type='pci'><zpci {zpci}/></address>"),
        )
    };
    refused(
        "s390-ccw-virtio",
        &with(1, "uid='0' fid='1'"),
        "uid of <zpci> is 0x0000",
    );
    let two = format!(
        "{}{}",
        with(1, "uid='5' fid='1'"),
        with(2, "uid='5' fid='2'")
    );
    refused(
        "s390-ccw-virtio",
        &two,
        "the uid 0x0005 of <zpci> is used twice",
    );
    let two = format!(
        "{}{}",
        with(1, "uid='5' fid='1'"),
        with(2, "uid='6' fid='1'")
    );
    refused(
        "s390-ccw-virtio",
        &two,
        "the fid 0x00000001 of <zpci> is used twice",
    );
    refused("q35", &with(1, "uid='5'"), "is for s390x only");
}

#[test]
fn crypto_adapters_have_no_address_and_come_once() {
    let ap = |uuid: u32| {
        format!(
            "<hostdev mode='subsystem' type='mdev' model='vfio-ap'><source>\
             <address uuid='11111111-2222-4333-8444-{uuid:012}'/></source></hostdev>"
        )
    };
    let domain = accepted(&ap(1));
    assert_eq!(domain.devices.info(Item::Hostdev(0)).unwrap().address, None);
    refused(
        "s390-ccw-virtio",
        &format!("{}{}", ap(1), ap(2)),
        "only one hostdev can be of model 'vfio-ap'",
    );
}
