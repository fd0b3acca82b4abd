//! Which device is at which port of the USB controllers.

use crate::Error;
use crate::device::address::UsbAddress;
use crate::device::controller::{Controller, ControllerModel as Model, ControllerType};
use crate::device::disk::DiskBus;
use crate::device::hostdev::HostdevSource;
use crate::device::input::InputBus;
use crate::device::{Address, Devices, Item};
use std::collections::BTreeMap;

/// The ports of a controller: whether each is in use.
type Ports = Vec<bool>;

/// Gives each USB device without a port the first that is free, on the first controller that has one, or on
/// the one that it names. Such a port is chosen anew each time: it is no part of the domain's text.
pub(super) fn assign(devices: &mut Devices) -> Vec<Error> {
    let mut items: Vec<(u8, Item)> =
        devices.items().into_iter().filter_map(|item| Some((rank(devices, item)?, item))).collect();
    items.sort_by_key(|(rank, _)| *rank);
    let mut buses = buses(devices);
    let mut errors = Vec::new();
    for (bus, port) in items.iter().filter_map(|(_, item)| taken(devices, *item)) {
        if let Some(used) = buses.get_mut(&bus).and_then(|ports| ports.get_mut(port)) {
            *used = true;
        }
    }
    for (_, item) in items {
        let Some(bus) = wanted(devices, item) else { continue };
        let found = next(&mut buses, bus);
        let what = devices.describe(item);
        let Some(info) = devices.info_mut(item) else { continue };
        match found {
            Some((bus, port)) => {
                let address = UsbAddress { bus: Some(bus), port: Some(port.to_string()), is_chosen: true };
                info.address = Some(Address::Usb(address));
            }
            None => errors.push(
                Error::new(format!("no place for {what}: no USB port is free"))
                    .at(info.place.0.clone())
                    .hint("add a <controller type='usb' …>"),
            ),
        }
    }
    errors
}

/// The order in which kinds of devices are given ports; nothing for what is not on USB.
fn rank(devices: &Devices, item: Item) -> Option<u8> {
    let (is_usb, rank) = match item {
        Item::Hostdev(n) => (matches!(devices.hostdevs.get(n)?.source, HostdevSource::Usb(_)), 0),
        Item::Interface(n) => {
            let source = devices.interfaces.get(n)?.hostdev.as_ref().map(|hostdev| &hostdev.source);
            (matches!(source, Some(HostdevSource::Usb(_))), 0)
        }
        Item::Disk(n) => (devices.disks.get(n)?.target.bus == Some(DiskBus::Usb), 1),
        Item::Controller(n) => (devices.controllers.get(n)?.kind == Some(ControllerType::Ccid), 2),
        Item::Input(n) => (devices.inputs.get(n)?.bus == Some(InputBus::Usb), 3),
        _ => return None,
    };
    is_usb.then_some(rank)
}

/// The controllers by their indexes; companions share the ports of their USB 2 controller.
fn buses(devices: &Devices) -> BTreeMap<u32, Ports> {
    let controllers = devices.controllers_of(ControllerType::Usb).filter(|c| c.master.is_none());
    controllers.filter_map(|c| Some((c.index?, vec![false; ports_of(c)]))).collect()
}

fn ports_of(controller: &Controller) -> usize {
    let said = controller.ports.and_then(|ports| usize::try_from(ports).ok());
    match controller.model {
        Some(Model::None) => 0,
        Some(Model::Ehci | Model::Ich9Ehci1) => 6,
        Some(Model::NecXhci | Model::QemuXhci) => said.unwrap_or(4).min(15),
        Some(Model::Qusb1 | Model::Qusb2) => said.unwrap_or(8).min(31),
        Some(Model::PciOhci) => 3,
        _ => 2,
    }
}

/// The controller and port, counted from 0, that a device says.
fn taken(devices: &Devices, item: Item) -> Option<(u32, usize)> {
    let Some(Address::Usb(address)) = &devices.info(item)?.address else { return None };
    let port: usize = address.port.as_deref()?.split('.').next()?.parse().ok()?;
    Some((address.bus.unwrap_or(0), port.checked_sub(1)?))
}

/// Whether a device wants a port; if so, of which controller, or of any.
fn wanted(devices: &Devices, item: Item) -> Option<Option<u32>> {
    match &devices.info(item)?.address {
        None => Some(None),
        Some(Address::Usb(UsbAddress { bus, port: None, .. })) => Some(*bus),
        Some(_) => None,
    }
}

/// Takes a port, counted from 1.
fn next(buses: &mut BTreeMap<u32, Ports>, bus: Option<u32>) -> Option<(u32, usize)> {
    for (index, ports) in buses.iter_mut().filter(|(index, _)| bus.is_none_or(|bus| bus == **index)) {
        if let Some(port) = ports.iter().position(|used| !used) {
            ports[port] = true;
            return Some((*index, port + 1));
        }
    }
    None
}
