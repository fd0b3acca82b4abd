//! Addresses of virtio devices outside PCI: channels on Z, virtio-mmio on Arm and microvm.

use std::collections::HashSet;

use crate::model::device::address::CcwAddress;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::{HostdevModel, HostdevSource};
use crate::model::device::input::InputBus;
use crate::model::device::sound::SoundModel;
use crate::model::device::video::VideoModel;
use crate::model::device::{Address, Devices, Item};
use crate::platform::{Board, Machine};

/// Gives an address to every virtio device that has none, on machines where it is not a PCI
/// address.
pub(crate) fn assign(devices: &mut Devices, machine: &Machine) {
    match machine.board {
        Board::S390Ccw => assign_channels(devices),
        // If one device uses virtio-mmio, the others do too.
        Board::Virt if devices.items().iter().any(|item| is_mmio(devices, *item)) => {
            assign_mmio(devices);
        }
        Board::Microvm => assign_mmio(devices),
        _ => {}
    }
}

/// Returns whether a device without an address is a channel device on Z.
pub(crate) fn is_channel_device(devices: &Devices, item: Item) -> bool {
    if let Item::Hostdev(n) = item
        && let Some(hostdev) = devices.hostdevs.get(n)
        && hostdev.model == Some(HostdevModel::VfioCcw)
    {
        return true;
    }

    is_virtio(devices, item)
}

/// Returns whether a device is a virtio device.
fn is_virtio(devices: &Devices, item: Item) -> bool {
    match item {
        Item::Disk(n) => devices
            .disks
            .get(n)
            .is_some_and(|d| d.target.bus == Some(DiskBus::Virtio)),
        Item::Interface(n) => devices
            .interfaces
            .get(n)
            .filter(|interface| interface.hostdev.is_none())
            .and_then(|interface| interface.model.as_ref())
            .is_some_and(|model| model.virtio().is_some()),
        Item::Controller(n) => devices.controllers.get(n).is_some_and(|c| match c.kind {
            Some(ControllerType::VirtioSerial) => true,
            Some(ControllerType::Scsi) => c.model == Some(ControllerModel::VirtioScsi),
            _ => false,
        }),
        Item::Hostdev(n) => devices
            .hostdevs
            .get(n)
            .is_some_and(|h| matches!(h.source, HostdevSource::ScsiHost(_))),
        Item::Memballoon(_) => devices
            .memballoon
            .as_ref()
            .is_some_and(|b| b.virtio().is_some()),
        Item::Filesystem(_) | Item::Vsock(_) | Item::Crypto(_) => true,
        Item::Sound(n) => devices
            .sounds
            .get(n)
            .is_some_and(|s| s.model == Some(SoundModel::Virtio)),
        Item::Rng(_) => true,
        Item::Input(n) => devices
            .inputs
            .get(n)
            .is_some_and(|i| i.bus == Some(InputBus::Virtio)),
        Item::Video(n) => devices
            .videos
            .get(n)
            .is_some_and(|v| v.model() == Some(VideoModel::Virtio)),
        Item::Memory(n) => devices.memories.get(n).is_some_and(|m| m.is_virtio()),
        _ => false,
    }
}

/// Gives virtio-mmio to every virtio device without an address.
fn assign_mmio(devices: &mut Devices) {
    for item in devices.items() {
        if has_no_address(devices, item) && is_virtio(devices, item) {
            set_address(devices, item, Address::VirtioMmio);
        }
    }
}

fn is_mmio(devices: &Devices, item: Item) -> bool {
    devices
        .info(item)
        .is_some_and(|info| info.address == Some(Address::VirtioMmio))
}

fn has_no_address(devices: &Devices, item: Item) -> bool {
    devices
        .info(item)
        .is_some_and(|info| info.address.is_none())
}

fn set_address(devices: &mut Devices, item: Item, address: Address) {
    if let Some(info) = devices.info_mut(item) {
        info.address = Some(address);
    }
}

/// Numbers the channel devices: each gets the lowest free number of the virtual channel subsystem.
fn assign_channels(devices: &mut Devices) {
    let mut items = devices.items();
    items.sort_by_key(|item| match item {
        Item::Memballoon(_) => 1,
        Item::Rng(_) | Item::Iommu(_) => 2,
        _ => 0,
    });
    let mut used: HashSet<CcwAddress> = HashSet::new();
    for item in &items {
        if let Some(Address::Ccw(ccw)) = devices.info(*item).and_then(|info| info.address.as_ref())
        {
            used.insert(*ccw);
        }
    }

    let sets =
        (0..=CcwAddress::LAST_SET).flat_map(|ssid| (0..=u16::MAX).map(move |devno| (ssid, devno)));
    let numbers = sets.map(|(ssid, devno)| CcwAddress {
        cssid: CcwAddress::VIRTUAL,
        ssid,
        devno,
    });
    let mut free = numbers.filter(|address| !used.contains(address));
    for item in items {
        if has_no_address(devices, item)
            && is_channel_device(devices, item)
            && let Some(address) = free.next()
        {
            set_address(devices, item, Address::Ccw(address));
        }
    }
}
