//! Ports, functions, aliases and MAC addresses of new devices.

use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

use crate::common::Emulator;
use crate::helpers::{at, hostdev, places, plug, plug_unused, port, refused, running, with_ports};

#[test]
fn device_gets_the_first_free_port_with_hotplug() {
    let domain = with_ports(1);
    let first = plug(&domain, &hostdev(1, 0, "")).unwrap();
    assert_eq!(places(&first), ["hostdev0 0000:01:00.0"]);
    assert_eq!(first.domain.devices.controllers, domain.devices.controllers);

    let fixed = running(
        "q35",
        &format!(
            "{}{}<controller type='usb' model='none'/><memballoon model='none'/>",
            port(1, "<target hotplug='off'/>"),
            port(2, "")
        ),
    );
    let second = plug(&fixed, &hostdev(1, 0, "")).unwrap();
    assert_eq!(places(&second), ["hostdev0 0000:02:00.0"]);
}

#[test]
fn full_machine_lists_its_ports() {
    let devices = format!(
        "{}{}{}<controller type='usb' model='none'/><memballoon model='none'/>",
        port(1, ""),
        port(2, ""),
        hostdev(7, 0, &at(1, 0))
    );
    let domain = running("q35", &devices);
    let three: String = (1..4).map(|bus| hostdev(bus, 0, "")).collect();
    let list = format!("<devices>{three}</devices>");
    let words = "3 ports are needed, and only those of index 2 are free";
    let hint = refused(&domain, &list, words, "<hostdev").unwrap();

    assert!(hint.contains("pcie-root-port"), "{hint}");

    let given = hostdev(1, 0, &at(1, 0));
    let words = "the slot of PCI address 0000:01:00.0 is in use by hostdev 0000:07:00.0";
    let hint = refused(&domain, &given, words, "<hostdev").unwrap();
    assert_eq!(
        hint,
        "name a free bus, which has the index 2, or leave the <address> out"
    );

    let full = plug(&domain, &hostdev(1, 0, "")).unwrap().domain;
    let card = "<interface type='user'><model type='virtio'/></interface>";
    let words = "no place for interface 0: no port is free";
    let hint = refused(&full, card, words, "<interface").unwrap();
    assert!(hint.contains("pcie-root-port"), "{hint}");
}

#[test]
fn addresses_without_hotplug_are_refused() {
    let domain = with_ports(2);
    let root = "<address type='pci' bus='0' slot='7'/>";
    for (xml, words) in [
        (
            hostdev(1, 0, root),
            "the root bus (bus 0) of a PCI Express machine has no hotplug",
        ),
        (
            hostdev(1, 0, &at(3, 0)),
            "the PCI controller 3 has hotplug='off'",
        ),
        (
            hostdev(1, 0, &at(77, 0)),
            "no PCI controller with the index 77",
        ),
        (
            hostdev(1, 0, "<address type='pci' bus='2' slot='1'/>"),
            "the slot of PCI address 0000:02:01.0 is out of range",
        ),
        (
            hostdev(1, 0, &at(2, 1)),
            "the guest looks for function 0 first",
        ),
    ] {
        let hint = refused(&domain, &xml, words, "<hostdev").unwrap();
        assert!(
            hint.starts_with("name a free bus, which has the index 1, 2, or"),
            "{hint}"
        );
    }

    let given = plug(&domain, &hostdev(1, 0, &at(2, 0))).unwrap();

    assert_eq!(places(&given), ["hostdev0 0000:02:00.0"]);

    let twice = format!(
        "<devices>{}{}</devices>",
        hostdev(1, 0, &at(2, 0)),
        hostdev(3, 0, &at(2, 0))
    );
    refused(
        &domain,
        &twice,
        "PCI address 0000:02:00.0 is used twice",
        "<hostdev",
    );
}

/// Returns the functions of the guest that have `multifunction='on'`.
fn multifunctions(domain: &Domain) -> Vec<String> {
    let hostdevs = domain.devices.hostdevs.iter();
    let flagged = hostdevs.filter_map(|hostdev| match &hostdev.info.address {
        Some(Address::Pci(pci)) if pci.multifunction == Some(true) => pci.address,
        _ => None,
    });
    flagged.map(|at| at.to_string()).collect()
}

#[test]
fn functions_of_a_card_share_a_port_with_their_numbers() {
    let domain = with_ports(3);
    let card = format!(
        "<devices>{}{}{}{}</devices>",
        hostdev(4, 0, ""),
        hostdev(5, 0, ""),
        hostdev(4, 1, ""),
        hostdev(4, 3, "")
    );
    let plugged = plug(&domain, &card).unwrap();
    assert_eq!(
        places(&plugged),
        [
            "hostdev2 0000:01:00.1",
            "hostdev3 0000:01:00.3",
            "hostdev0 0000:01:00.0",
            "hostdev1 0000:02:00.0"
        ],
        "function 0 comes last in its slot"
    );
    assert_eq!(multifunctions(&plugged.domain), ["0000:01:00.0"]);

    let without_first = format!(
        "<devices>{}{}</devices>",
        hostdev(4, 2, ""),
        hostdev(4, 3, "")
    );
    let apart = plug(&domain, &without_first).unwrap();
    assert_eq!(
        places(&apart),
        ["hostdev0 0000:01:00.0", "hostdev1 0000:02:00.0"]
    );
    assert_eq!(multifunctions(&apart.domain), Vec::<String>::new());
}

#[test]
fn given_functions_of_one_slot_come_together() {
    let domain = with_ports(2);
    let pair = format!(
        "<devices>{}{}</devices>",
        hostdev(4, 0, &at(2, 0)),
        hostdev(6, 0, &at(2, 5))
    );
    let plugged = plug(&domain, &pair).unwrap();
    assert_eq!(
        places(&plugged),
        ["hostdev1 0000:02:00.5", "hostdev0 0000:02:00.0"]
    );
    assert_eq!(multifunctions(&plugged.domain), ["0000:02:00.0"]);
}

#[test]
fn alias_is_not_reused() {
    let domain = with_ports(2);
    let used = [
        "hostdev0",
        "hostdev4",
        "net0",
        "virtio-disk0",
        "virtio-disk0-1",
    ];
    let all = format!(
        "<devices>{}{}{}</devices>",
        hostdev(1, 0, ""),
        "<interface type='user'><model type='virtio'/></interface>",
        "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"
    );
    let plugged = plug_unused(&with_ports(3), &all, &used).unwrap();
    let mut aliases: Vec<_> = places(&plugged);
    aliases.sort();
    let aliases: Vec<_> = aliases
        .iter()
        .map(|text| text.split(' ').next().unwrap())
        .collect();

    assert_eq!(aliases, ["hostdev5", "net1", "virtio-disk0-2"]);

    let own = hostdev(1, 0, "<alias name='ua-gpu'/>");
    plug(&domain, &own).unwrap();
    let errors = plug_unused(&domain, &own, &["ua-gpu"]).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(
        error.message,
        "the guest has had a device with the alias 'ua-gpu' in this run"
    );
    assert!(error.span.is_some() && error.hint.is_some());
}

#[test]
fn card_without_a_mac_gets_one_that_is_free() {
    let card = "<interface type='user'><model type='virtio'/></interface>";
    let domain = running("q35", &card.repeat(3));
    let domain = domain.unplug("net0", &Emulator).unwrap().domain;
    let plugged = plug_unused(&domain, card, &["net0"]);
    let plugged = plugged.unwrap();
    let mut macs = Vec::new();
    for interface in &plugged.domain.devices.interfaces {
        let mac = interface.mac.unwrap();
        macs.push(mac.to_string());
    }

    macs.sort();
    macs.dedup();

    assert_eq!(macs.len(), 3);
    assert_eq!(places(&plugged).len(), 1);
    assert!(
        places(&plugged)[0].starts_with("net3 "),
        "{:?}",
        places(&plugged)
    );
}

#[test]
fn tap_and_assigned_interface_are_plugged_in() {
    let domain = with_ports(2);
    let tap = "<interface type='ethernet'><target dev='tap0'/><model type='virtio'/></interface>";
    assert_eq!(places(&plug(&domain, tap).unwrap()), ["net0 0000:01:00.0"]);

    let assigned = "<interface type='hostdev'><source><address type='pci' bus='3'/></source>\
                    </interface>";
    let plugged = plug(&domain, assigned).unwrap();
    assert_eq!(places(&plugged), ["hostdev0 0000:01:00.0"]);
    assert_eq!(plugged.items, [Item::Interface(0)]);
}

#[test]
fn scsi_disk_needs_a_controller_that_is_there() {
    let disk = "<disk type='file'><source file='/a'/><target dev='sdb' bus='scsi'/></disk>";
    let domain = with_ports(1);
    refused(&domain, disk, "there is no 'scsi' controller 0", "<disk");

    let scsi = "<controller type='scsi' model='virtio-scsi'/>";
    let plugged = plug(&running("q35", scsi), disk).unwrap();

    assert_eq!(places(&plugged), ["scsi0-0-0-1 "]);
    assert_eq!(plugged.items, [Item::Disk(0)]);
}

#[test]
fn conventional_machine_gives_a_slot_of_its_bus() {
    let domain = running("pc", "<memballoon model='none'/>");
    let card = "<interface type='user'><model type='virtio'/></interface>";
    let plugged = plug(&domain, card);
    let plugged = plugged.unwrap();
    let at = plugged
        .domain
        .devices
        .pci_address(plugged.items[0])
        .unwrap();

    assert_eq!(at.bus, 0);
    assert!(at.slot > 1, "slots 0 and 1 are the board's: {at}");

    let fixed = "<controller type='pci' index='0' model='pci-root'>\
                 <target hotplug='off'/></controller>";
    let words = "no place for interface 0: no PCI slot is free";
    refused(&running("pc", fixed), card, words, "<interface");
}

#[test]
fn channel_machine_gives_a_channel_and_no_pci_slot() {
    let domain = running("s390-ccw-virtio", "");
    let disk = "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>";
    let plugged = plug(&domain, disk).unwrap();
    let info = plugged.domain.devices.info(plugged.items[0]).unwrap();

    assert!(matches!(info.address, Some(Address::Ccw(_))), "{info:?}");

    refused(
        &domain,
        &hostdev(1, 0, ""),
        "PCI devices of s390x",
        "<hostdev",
    );
}
