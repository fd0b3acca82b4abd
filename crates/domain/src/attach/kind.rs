//! The devices that a running guest can get and release.

use crate::model::device::disk::{Disk, DiskBus, DiskDevice, DiskType};
use crate::model::device::hostdev::{Hostdev, HostdevModel, HostdevSource};
use crate::model::device::interface::{Interface, InterfaceModel, InterfaceType};
use crate::model::device::net_driver::NetBackendType;
use crate::model::device::{Address, Devices, Item};
use crate::place::plug::Need;
use crate::platform::{Board, Machine};

/// The elements of the devices, for a message.
pub(super) const TAGS: &str = "<disk>, <hostdev> and <interface>";

/// Returns whether devices of an element can be plugged in.
pub(super) fn has_tag(tag: &str) -> bool {
    matches!(tag, "disk" | "hostdev" | "interface")
}

/// Returns the reason why a running guest cannot get or release a device, as a clause; `None` if it
/// can. The device has the defaults of [`Domain::complete`](crate::Domain::complete).
pub(super) fn refusal(devices: &Devices, item: Item, machine: &Machine) -> Option<String> {
    let refused = match item {
        Item::Disk(n) => disk_refusal(devices.disks.get(n)?),
        Item::Interface(n) => {
            let interface = devices.interfaces.get(n)?;
            match &interface.hostdev {
                Some(hostdev) => hostdev_refusal(hostdev),
                None => interface_refusal(interface),
            }
        }
        Item::Hostdev(n) => hostdev_refusal(devices.hostdevs.get(n)?),
        _ => Some(format!("only {TAGS} can be plugged in and out")),
    };
    refused.or_else(|| bus_refusal(devices, item, machine))
}

/// Returns the reason against a bus of the machine.
fn bus_refusal(devices: &Devices, item: Item, machine: &Machine) -> Option<String> {
    let address = devices.info(item)?.address.as_ref();
    if matches!(address, Some(Address::VirtioMmio)) || machine.board == Board::Microvm {
        return Some("virtio-mmio has no hotplug".into());
    }
    let is_pci = match address {
        Some(address) => matches!(address, Address::Pci(_)),
        None => Need::for_device(devices, item, machine.is_express()).is_some(),
    };
    let is_fixed = is_pci && machine.board == Board::S390Ccw;
    is_fixed.then(|| "PCI devices of s390x are plugged in at the start alone".into())
}

fn disk_refusal(disk: &Disk) -> Option<String> {
    let bus = disk.target.bus.unwrap_or(DiskBus::Virtio);
    if !matches!(bus, DiskBus::Virtio | DiskBus::Scsi) {
        return Some(format!("the bus '{bus}' of disks has no hotplug"));
    }
    if disk.device == Some(DiskDevice::Floppy) {
        return Some("a floppy drive has no hotplug".into());
    }
    let kind = disk.kind.unwrap_or(DiskType::File);
    match kind {
        DiskType::File | DiskType::Block | DiskType::Network => None,
        other => {
            let reason = format!("a disk of type '{other}' can be there from the start alone");
            Some(reason)
        }
    }
}

fn hostdev_refusal(hostdev: &Hostdev) -> Option<String> {
    if hostdev.is_unassigned() {
        return Some("with <address type='unassigned'/> the guest does not see it".into());
    }
    if hostdev.ramfb == Some(true) {
        return Some("with ramfb='on' it has the firmware's screen".into());
    }
    let acpi = hostdev.info.acpi.as_ref();
    if acpi.is_some_and(|acpi| acpi.nodeset.is_some()) {
        return Some("its NUMA nodes stand in ACPI tables, which are made at the start".into());
    }
    let kind = match (&hostdev.source, hostdev.model) {
        (HostdevSource::Pci(_), _) => return None,
        (HostdevSource::Mdev(_), None | Some(HostdevModel::VfioPci)) => return None,
        (HostdevSource::Mdev(_), Some(model)) => {
            return Some(format!(
                "a mediated device of model '{model}' can be there from the start alone"
            ));
        }
        (HostdevSource::Usb(_), _) => "usb",
        (HostdevSource::Scsi(_), _) => "scsi",
        (HostdevSource::ScsiHost(_), _) => "scsi_host",
    };
    Some(format!(
        "a hostdev of type '{kind}' can be there from the start alone"
    ))
}

fn interface_refusal(interface: &Interface) -> Option<String> {
    if let Some(model @ (InterfaceModel::UsbNet | InterfaceModel::SpaprVlan)) = &interface.model {
        let model = model.as_str();
        return Some(format!(
            "a card of model '{model}' can be there from the start alone"
        ));
    }

    let backend = interface.backend.as_ref().and_then(|backend| backend.kind);
    if backend == Some(NetBackendType::Passt) {
        return Some("a connection by passt can be there from the start alone".into());
    }
    match interface.kind.unwrap_or(InterfaceType::User) {
        InterfaceType::User
        | InterfaceType::Ethernet
        | InterfaceType::Bridge
        | InterfaceType::Network
        | InterfaceType::Direct => None,
        other => Some(format!(
            "an interface of type '{other}' can be there from the start alone"
        )),
    }
}
