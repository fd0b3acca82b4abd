//! Ports of USB devices: each takes the first free one. If the ports run out, hubs are added.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::address::ChosenUsbParts;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::HostdevSource;
use crate::model::device::input::InputBus;
use crate::model::device::interface::{Interface, InterfaceModel};
use crate::model::device::redirdev::{Hub, HubType};
use crate::model::device::sound::SoundModel;
use crate::model::device::{Address, Devices, Item, UsbAddress, chardev::CharTargetType};

/// Ports of a hub.
const HUB_PORTS: u8 = 8;

/// Gives a port to every USB device that has none, and returns an error for each that finds none.
///
/// A port from here is not written back to the XML, so that the next start chooses again.
pub(super) fn assign(devices: &mut Devices) -> Bounded<Error> {
    let mut errors = Bounded::default();
    let mut buses = UsbBuses::new(devices);
    add_hubs(devices, &buses);
    let items = in_order(devices);
    for item in &items {
        if let Some((bus, port)) = given_port(devices, *item) {
            buses.take(bus, &port, matches!(item, Item::Hub(_)));
        }
    }

    for item in items {
        if given_port(devices, item).is_some() {
            continue;
        }
        let bus = match devices.info(item).and_then(|info| info.address.as_ref()) {
            Some(Address::Usb(usb)) => usb.bus,
            Some(_) => continue,
            None => None,
        };
        let chosen = if bus.is_some() {
            ChosenUsbParts::Port
        } else {
            ChosenUsbParts::BusAndPort
        };
        let found = buses.next(bus, matches!(item, Item::Hub(_)));
        let device = devices.describe(item);
        let Some(info) = devices.info_mut(item) else {
            continue;
        };
        if let Some((bus, port)) = found {
            info.address = Some(Address::Usb(UsbAddress {
                bus: Some(bus),
                port: Some(port),
                chosen,
            }));
        } else {
            let message = format!("no place for {device}: no USB port is free");
            let error = Error::new(message).at(info.span.0.clone());
            errors.push(error.hint("add <controller type='usb' model='qemu-xhci'/>"));
        }
    }

    errors
}

/// Returns whether a device is on a USB bus.
pub(crate) fn is_usb(devices: &Devices, item: Item) -> bool {
    match item {
        Item::Hub(_) | Item::Redirdev(_) => true,
        Item::Disk(n) => devices
            .disks
            .get(n)
            .is_some_and(|d| d.target.bus == Some(DiskBus::Usb)),
        Item::Controller(n) => devices
            .controllers
            .get(n)
            .is_some_and(|c| c.kind == Some(ControllerType::Ccid)),
        Item::Input(n) => devices
            .inputs
            .get(n)
            .is_some_and(|i| i.bus == Some(InputBus::Usb)),
        Item::Serial(n) => devices
            .serials
            .get(n)
            .and_then(|serial| serial.target.as_ref())
            .is_some_and(|target| target.kind == Some(CharTargetType::UsbSerial)),
        Item::Sound(n) => devices
            .sounds
            .get(n)
            .is_some_and(|s| s.model == Some(SoundModel::Usb)),
        Item::Interface(n) => devices.interfaces.get(n).is_some_and(is_usb_interface),
        Item::Hostdev(n) => devices
            .hostdevs
            .get(n)
            .is_some_and(|h| matches!(h.source, HostdevSource::Usb(_))),
        _ => false,
    }
}

/// Returns whether a network card is a USB device, of QEMU or of the host.
fn is_usb_interface(interface: &Interface) -> bool {
    match &interface.hostdev {
        Some(hostdev) => matches!(hostdev.source, HostdevSource::Usb(_)),
        None => interface.model == Some(InterfaceModel::UsbNet),
    }
}

/// Returns the USB devices in the order in which they get their ports.
fn in_order(devices: &Devices) -> Vec<Item> {
    let mut items: Vec<_> = devices
        .items()
        .into_iter()
        .filter(|item| is_usb(devices, *item))
        .collect();
    items.sort_by_key(|item| match item {
        Item::Hub(_) => 0,
        Item::Hostdev(_) | Item::Interface(_) => 1,
        Item::Disk(_) => 2,
        Item::Controller(_) => 3,
        Item::Input(_) => 4,
        Item::Serial(_) => 5,
        Item::Sound(_) => 6,
        _ => 7,
    });
    items
}

/// Returns the bus and port that the user gave a device.
fn given_port(devices: &Devices, item: Item) -> Option<(u32, String)> {
    match devices.info(item)?.address.as_ref()? {
        Address::Usb(UsbAddress {
            bus,
            port: Some(port),
            ..
        }) => Some((bus.unwrap_or(0), port.clone())),
        _ => None,
    }
}

/// Adds hubs if there are more devices than ports, unless the domain has hubs already.
fn add_hubs(devices: &mut Devices, buses: &UsbBuses) {
    let ports: usize = buses.all.values().map(|bus| usize::from(bus.ports)).sum();
    let count = in_order(devices).len();
    if !devices.hubs.is_empty() || ports == 0 || count <= ports {
        return;
    }
    let needed = (count - ports + 1).div_ceil(usize::from(HUB_PORTS) - 1);
    devices.hubs.extend((0..needed).map(|_| Hub {
        kind: Some(HubType::Usb),
        ..Hub::default()
    }));
}

/// The USB buses by the index of their controllers, each with the ports of its hubs.
struct UsbBuses {
    all: BTreeMap<u32, UsbBus>,
    /// Indexes of the buses not yet found full. A full bus stays full.
    open: BTreeSet<u32>,
}

/// The ports of one USB bus.
#[derive(Default)]
struct UsbBus {
    /// Number of ports of the controller.
    ports: u8,
    /// Ports in use, by the hub's own port. The controller's own ports have the empty key.
    used: HashMap<String, HashSet<u8>>,
    /// Ports of the hubs, in the order in which they were added.
    hubs: Vec<String>,
    /// Number of hubs, counted from the first, that were found full. A full hub stays full.
    full_hubs: usize,
}

impl UsbBuses {
    /// Collects the USB controllers, with no port in use.
    fn new(devices: &Devices) -> Self {
        let mut buses: BTreeMap<u32, UsbBus> = BTreeMap::new();
        for controller in devices.controllers_of(ControllerType::Usb) {
            let ports = match controller.model {
                Some(ControllerModel::None) => continue,
                Some(ControllerModel::Ehci | ControllerModel::Ich9Ehci1) => 6,
                Some(ControllerModel::PciOhci) => 3,
                Some(ControllerModel::NecXhci | ControllerModel::QemuXhci) => controller
                    .ports
                    .and_then(|ports| u8::try_from(ports).ok())
                    .unwrap_or(4),
                Some(ControllerModel::Qusb1 | ControllerModel::Qusb2) => 8,
                _ => 2,
            };
            let bus = buses.entry(controller.index.unwrap_or(0)).or_default();
            bus.ports = bus.ports.max(ports);
        }

        Self {
            open: buses.keys().copied().collect(),
            all: buses,
        }
    }

    /// Marks a port as used, and adds the ports of a hub.
    fn take(&mut self, bus: u32, port: &str, is_hub: bool) {
        let Some(bus) = self.all.get_mut(&bus) else {
            return;
        };
        let (hub, number) = port.rsplit_once('.').unwrap_or(("", port));
        if let Ok(number) = number.parse() {
            bus.used.entry(hub.to_owned()).or_default().insert(number);
        }
        if is_hub {
            bus.hubs.push(port.to_owned());
        }
    }

    /// Takes the first free port of one bus, or of all buses.
    fn next(&mut self, bus: Option<u32>, is_hub: bool) -> Option<(u32, String)> {
        let (index, port) = match bus {
            Some(index) => (index, self.all.get_mut(&index)?.free()?),
            None => self.first_free()?,
        };
        self.take(index, &port, is_hub);
        Some((index, port))
    }

    /// Returns the first free port of all buses.
    fn first_free(&mut self) -> Option<(u32, String)> {
        while let Some(index) = self.open.first().copied() {
            if let Some(port) = self.all.get_mut(&index).and_then(UsbBus::free) {
                return Some((index, port));
            }
            self.open.pop_first();
        }

        None
    }
}

impl UsbBus {
    /// Returns the first free port of the controller, or else of a hub.
    fn free(&mut self) -> Option<String> {
        if let Some(port) = self.free_of("", self.ports) {
            return Some(port);
        }
        while let Some(hub) = self.hubs.get(self.full_hubs) {
            if let Some(port) = self.free_of(hub, HUB_PORTS) {
                return Some(port);
            }
            self.full_hubs += 1;
        }

        None
    }

    /// Returns the first free port of a hub, or of the controller (an empty `hub`).
    fn free_of(&self, hub: &str, ports: u8) -> Option<String> {
        let used = self.used.get(hub);
        let number = (1..=ports).find(|port| used.is_none_or(|used| !used.contains(port)))?;
        Some(if hub.is_empty() {
            number.to_string()
        } else {
            format!("{hub}.{number}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::Controller;

    fn buses(count: u32) -> UsbBuses {
        let mut devices = Devices::default();
        for index in 0..count {
            let model = Some(ControllerModel::Piix3Uhci);
            let controller = Controller::new(ControllerType::Usb, index, model);
            devices.controllers.push(controller);
        }

        UsbBuses::new(&devices)
    }

    #[test]
    fn ports_are_taken_in_the_order_of_buses_and_hubs() {
        let mut buses = buses(2);
        assert_eq!(buses.next(None, true), Some((0, "1".into())));
        assert_eq!(buses.next(None, false), Some((0, "2".into())));

        let on_hub: Vec<_> = (0..8).filter_map(|_| buses.next(None, false)).collect();
        assert_eq!(
            (&on_hub[0], &on_hub[7]),
            (&(0, "1.1".into()), &(0, "1.8".into()))
        );
        assert_eq!(buses.next(Some(0), false), None);
        assert_eq!(buses.next(None, false), Some((1, "1".into())));
        assert_eq!(buses.next(Some(7), false), None);
    }

    #[test]
    fn full_buses_and_hubs_are_searched_once() {
        let mut many = buses(50);
        assert_eq!((0..200).filter_map(|_| many.next(None, false)).count(), 100);
        assert!(many.open.is_empty());

        let mut one = buses(1);
        // Two hubs are on the controller's ports, eight on each of the first six hubs, one on the
        // seventh.
        assert_eq!((0..51).filter_map(|_| one.next(None, true)).count(), 51);
        assert_eq!(one.all[&0].full_hubs, 6);
    }
}
