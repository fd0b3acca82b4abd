//! Devices that leave a running guest.

use passthru_domain::device::Item;

use crate::common::Emulator;
use crate::helpers::{at, hostdev, plug, port, running, with_ports};

#[test]
fn unplugged_device_leaves_the_domain_as_before() {
    let scsi = "<controller type='scsi' model='virtio-scsi'/>";
    let before = running("q35", &format!("{scsi}{}{}", port(5, ""), port(6, "")));
    for device in [
        hostdev(1, 0, ""),
        "<interface type='user'><model type='virtio'/></interface>".into(),
        "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>".into(),
        "<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/></disk>".into(),
        "<disk type='file' device='cdrom'><target dev='sda' bus='scsi'/></disk>".into(),
    ] {
        let plugged = plug(&before, &device);
        let plugged = plugged.unwrap();
        let item = plugged.items[0];
        let info = plugged.domain.devices.info(item);
        let alias = info.unwrap().id();
        let unplugged = plugged.domain.unplug(alias, &Emulator);
        let unplugged = unplugged.unwrap();
        assert_eq!(unplugged.domain, before, "{device}");
        assert_eq!(unplugged.items, plugged.items);
    }
}

#[test]
fn all_functions_of_a_slot_leave_with_function_0_first() {
    let domain = with_ports(2);
    let card = format!(
        "<devices>{}{}{}</devices>",
        hostdev(4, 1, ""),
        hostdev(4, 0, ""),
        hostdev(5, 0, "")
    );
    let plugged = plug(&domain, &card).unwrap().domain;
    for alias in ["hostdev0", "hostdev1"] {
        let unplugged = plugged.unplug(alias, &Emulator).unwrap();
        let left = &unplugged.domain.devices.hostdevs;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].info.id(), "hostdev2");
        assert_eq!(
            unplugged.items,
            [Item::Hostdev(1), Item::Hostdev(0)],
            "function 0 comes first"
        );
    }
}

#[test]
fn device_without_hotplug_stays() {
    let devices = format!(
        "{}{}{}{}",
        port(1, "<target hotplug='off'/>"),
        hostdev(1, 0, &at(1, 0)),
        hostdev(2, 0, "<address type='pci' bus='0' slot='9'/>"),
        "<disk type='file'><source file='/a'/><target dev='sda' bus='sata'/></disk>"
    );
    let domain = running("q35", &devices);
    for (alias, words) in [
        ("hostdev0", "the PCI controller 1 has hotplug='off'"),
        (
            "hostdev1",
            "the root bus (bus 0) of a PCI Express machine has no hotplug",
        ),
        ("sata0-0-0", "the bus 'sata' of disks has no hotplug"),
        (
            "pci.1",
            "only <disk>, <hostdev> and <interface> can be plugged in and out",
        ),
    ] {
        let error = domain.unplug(alias, &Emulator).unwrap_err();
        assert!(
            error.message.contains("cannot leave a running guest"),
            "{error}"
        );
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn unknown_alias_lists_those_that_can_leave() {
    let domain = with_ports(2);
    let device = hostdev(1, 0, "");
    let plugged = plug(&domain, &device);
    let plugged = plugged.unwrap().domain;
    let error = plugged.unplug("hostdev7", &Emulator).unwrap_err();

    assert_eq!(
        error.message,
        "the guest has no device with the alias 'hostdev7'"
    );
    assert_eq!(error.hint.as_deref(), Some("name one of hostdev0"));

    let error = domain.unplug("x", &Emulator).unwrap_err();
    assert_eq!(error.hint, None);
}
