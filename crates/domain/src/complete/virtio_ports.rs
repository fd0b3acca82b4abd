//! Ports of virtio-serial controllers: each channel takes the first free one.

use std::collections::{BTreeMap, BTreeSet};

use super::missing_controllers;
use crate::model::device::chardev::CharTargetType;
use crate::model::device::controller::ControllerType;
use crate::model::device::{Address, Chardev, Devices, VirtioSerialAddress};

/// Default and largest number of ports of a controller.
const MAX_PORTS: u32 = 31;

/// Adds the controllers that channels and consoles name. A device that names none needs the first.
pub(super) fn add_controllers(devices: &mut Devices) {
    let mut wanted = BTreeSet::new();
    for chardev in devices
        .channels
        .iter()
        .chain(&devices.consoles)
        .filter(|c| is_virtio(c))
    {
        wanted.insert(address(chardev).and_then(|a| a.controller).unwrap_or(0));
    }

    missing_controllers::add_all(devices, ControllerType::VirtioSerial, wanted);
}

/// Gives a port to each channel without one. If no port is free, a controller is added.
pub(super) fn assign(devices: &mut Devices) {
    let mut free = FreePorts::new(devices);
    let mut added = BTreeSet::new();
    let mut channels = std::mem::take(&mut devices.channels);
    for channel in channels.iter_mut().filter(|c| is_virtio(c)) {
        let given = address(channel).cloned().unwrap_or_default();
        if given.port.is_some_and(|port| port > 0)
            || (channel.info.address.is_some() && address(channel).is_none())
        {
            continue;
        }
        let found = free.next(given.controller).or_else(|| {
            let index = free.add()?;
            added.insert(index);
            free.next(Some(index))
        });
        if let Some((controller, port)) = found {
            let address = VirtioSerialAddress {
                controller: Some(controller),
                bus: Some(0),
                port: Some(port),
            };
            channel.info.address = Some(Address::VirtioSerial(address));
        }
    }

    devices.channels = channels;
    missing_controllers::add_all(devices, ControllerType::VirtioSerial, added);
    for chardev in devices.channels.iter_mut().chain(&mut devices.consoles) {
        if let Some(Address::VirtioSerial(address)) = &mut chardev.info.address {
            address.controller.get_or_insert(0);
            address.bus = Some(0);
        }
    }
}

fn is_virtio(chardev: &Chardev) -> bool {
    chardev.target.as_ref().and_then(|t| t.kind) == Some(CharTargetType::Virtio)
}

fn address(chardev: &Chardev) -> Option<&VirtioSerialAddress> {
    match &chardev.info.address {
        Some(Address::VirtioSerial(address)) => Some(address),
        _ => None,
    }
}

/// The ports of the virtio-serial controllers. Port 0 is a console's.
struct FreePorts {
    /// Number of ports and used ports of each controller, by index.
    all: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    /// Indexes of the controllers not yet found full. A full controller stays full.
    open: BTreeSet<u32>,
}

impl FreePorts {
    /// Collects the controllers, with the ports that devices name already.
    fn new(devices: &Devices) -> Self {
        let mut all: BTreeMap<u32, (u32, BTreeSet<u32>)> = BTreeMap::new();
        for controller in devices.controllers_of(ControllerType::VirtioSerial) {
            let index = controller.index.unwrap_or(0);
            let ports = controller.ports.unwrap_or(MAX_PORTS).clamp(1, MAX_PORTS);
            all.insert(index, (ports, BTreeSet::new()));
        }

        let chardevs = devices.channels.iter().chain(&devices.consoles);
        for given in chardevs.filter_map(address) {
            let controller = all.get_mut(&given.controller.unwrap_or(0));
            if let (Some(port), Some((_, used))) = (given.port, controller) {
                used.insert(port);
            }
        }

        Self {
            open: all.keys().copied().collect(),
            all,
        }
    }

    /// Adds a controller after the last, and returns its index.
    fn add(&mut self) -> Option<u32> {
        let index = self
            .all
            .keys()
            .next_back()
            .map_or(Some(0), |last| last.checked_add(1))?;
        self.all.insert(index, (MAX_PORTS, BTreeSet::new()));
        self.open.insert(index);
        Some(index)
    }

    /// Takes the first free port of one controller, or of all controllers.
    fn next(&mut self, controller: Option<u32>) -> Option<(u32, u32)> {
        if let Some(index) = controller {
            return self.next_of(index);
        }
        while let Some(index) = self.open.first().copied() {
            if let Some(found) = self.next_of(index) {
                return Some(found);
            }
            self.open.pop_first();
        }

        None
    }

    /// Takes the first free port of a controller.
    fn next_of(&mut self, index: u32) -> Option<(u32, u32)> {
        let (ports, used) = self.all.get_mut(&index)?;
        let port = (1..*ports).find(|port| !used.contains(port))?;
        used.insert(port);
        Some((index, port))
    }
}
