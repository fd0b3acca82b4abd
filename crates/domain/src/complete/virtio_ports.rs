//! Ports of virtio-serial controllers: each channel takes the first that is free.

use std::collections::{BTreeMap, BTreeSet};

use super::controllers;
use crate::model::device::chardev::CharTargetType;
use crate::model::device::controller::ControllerType;
use crate::model::device::{Address, Chardev, Devices, VirtioSerialAddress};

/// Ports of a controller that says nothing.
const PORTS: u32 = 31;

/// Adds the controllers that channels and consoles name, and the first where they name none.
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
    controllers::add_all(devices, ControllerType::VirtioSerial, wanted);
}

/// Gives each channel without one a port, and adds a controller where none is free.
pub(super) fn assign(devices: &mut Devices) {
    let mut free = Free::of(devices);
    let mut added = BTreeSet::new();
    let mut channels = std::mem::take(&mut devices.channels);
    for channel in channels.iter_mut().filter(|c| is_virtio(c)) {
        let said = address(channel).cloned().unwrap_or_default();
        if said.port.is_some_and(|port| port > 0)
            || (channel.info.address.is_some() && address(channel).is_none())
        {
            continue;
        }
        let found = free.next(said.controller).or_else(|| {
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
    controllers::add_all(devices, ControllerType::VirtioSerial, added);
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

/// The controllers: how many ports each has (port 0 is a console's), and which are in use.
struct Free {
    all: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    /// Those that were not found full. A full controller stays full.
    open: BTreeSet<u32>,
}

impl Free {
    fn of(devices: &Devices) -> Self {
        let controllers = devices.controllers_of(ControllerType::VirtioSerial);
        let ports = |ports: u32| ports.clamp(1, PORTS);
        let mut all: BTreeMap<u32, (u32, BTreeSet<u32>)> = controllers
            .map(|c| {
                (
                    c.index.unwrap_or(0),
                    (c.ports.map_or(PORTS, ports), BTreeSet::new()),
                )
            })
            .collect();
        for said in devices
            .channels
            .iter()
            .chain(&devices.consoles)
            .filter_map(address)
        {
            if let (Some(port), Some((_, used))) =
                (said.port, all.get_mut(&said.controller.unwrap_or(0)))
            {
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
        self.all.insert(index, (PORTS, BTreeSet::new()));
        self.open.insert(index);
        Some(index)
    }

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

    fn next_of(&mut self, index: u32) -> Option<(u32, u32)> {
        let (ports, used) = self.all.get_mut(&index)?;
        let port = (1..*ports).find(|port| !used.contains(port))?;
        used.insert(port);
        Some((index, port))
    }
}
