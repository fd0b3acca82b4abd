//! Addresses of the guest's devices: PCI, USB, channels and virtio-mmio.
//!
//! The rules are libvirt's, so that the same XML gives a guest the same devices at the same
//! addresses:
//! - An address that the user gave stays.
//! - The board's own devices are where the board has them.
//! - Each other device takes the first free slot of the first bus that accepts its kind. The kinds
//!   have a fixed order.
//! - If no slot is free, a bus is added.

mod assign;
mod bus;
mod buses;
pub(crate) mod chipset;
mod pci;
mod pci_address;
pub(crate) mod plug;
mod target;
pub(crate) mod usb;
mod usb2;
pub(crate) mod virtio;
pub(crate) mod zpci;

pub(crate) use assign::assign;
pub(crate) use buses::Buses;
<<<<<<< HEAD

use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::Item;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::controller_list;
use crate::model::device::{Address, Devices, Info, PciAddress};
use crate::platform::{Board, Machine};
use passthru_pci::Address as At;
use plug::{Need, Plug};
use std::collections::{HashMap, HashSet};

/// Gives every PCI or channel device that has none an address, and adds the controllers that this
/// takes.
pub(crate) fn assign(devices: &mut Devices, machine: &Machine) -> Bounded<Error> {
    virtio::assign(devices, machine);
    let mut errors = usb::assign(devices);
    errors.append(assign_pci(devices, machine));
    errors
}

fn assign_pci(devices: &mut Devices, machine: &Machine) -> Bounded<Error> {
    if !machine.has_pci() {
        return Bounded::default();
    }
    if let Err(errors) = add_missing(devices, machine) {
        return errors;
    }
    let mut buses = prepare(devices, machine, false);
    let errors = hand_out(&mut buses, devices, machine.is_express());
    mark_multifunction(devices);
    target::fill(devices);
    if machine.board == Board::S390Ccw {
        zpci::fill(devices);
    }
    errors
}

/// Whether the address of a device is to be chosen. Like libvirt, all zeros (the host bridge's) is
/// none.
pub(crate) fn is_wanted(info: &Info) -> bool {
    match &info.address {
        None => true,
        Some(Address::Pci(pci)) => pci
            .address
            .is_none_or(|a| (a.domain, a.bus, a.slot) == (0, 0, 0)),
        Some(_) => false,
    }
}

/// Makes the buses, with everything that has an address already on them.
fn prepare(devices: &mut Devices, machine: &Machine, grows: bool) -> Buses {
    let mut buses = Buses::of(&devices.controllers, machine.is_express(), grows);
    chipset::pin(machine.board, devices);
    for item in devices.items() {
        // What is wrong with an address of the user's is for `validate` to say.
        let need = Need::of(devices, item, machine.is_express()).unwrap_or(Need::plain(Plug::Pci));
        if let Some(at) = devices.pci_address(item)
            && !devices.info(item).is_none_or(is_wanted)
        {
            let _ = buses.reserve(at, need);
        }
    }
    chipset::settle(machine.board, &mut buses, devices);
    buses
}

/// Hands addresses out to find which controllers are missing, takes them back, and adds the
/// controllers.
fn add_missing(devices: &mut Devices, machine: &Machine) -> Result<(), Bounded<Error>> {
    let said = addresses(devices);
    let mut buses = prepare(devices, machine, true);
    let errors = draft(&mut buses, devices, machine);
    restore(devices, said);
    errors?;
    let mut index = 1;
    while let Some(model) = buses.model(index) {
        add_controller(&mut buses, devices, index, model).map_err(no_place)?;
        index += 1;
    }
    Ok(())
}

/// Returns the address of each device, as it is now.
fn addresses(devices: &Devices) -> Vec<(Item, Option<Address>)> {
    let address = |item| devices.info(item).and_then(|info| info.address.clone());
    devices
        .items()
        .into_iter()
        .map(|item| (item, address(item)))
        .collect()
}

/// Gives the devices back the addresses that they had.
fn restore(devices: &mut Devices, addresses: Vec<(Item, Option<Address>)>) {
    for (item, address) in addresses {
        if let Some(info) = devices.info_mut(item) {
            info.address = address;
        }
    }
}

/// Hands out addresses on buses that grow as it takes.
fn draft(
    buses: &mut Buses,
    devices: &mut Devices,
    machine: &Machine,
) -> Result<(), Bounded<Error>> {
    let at_first = devices
        .controllers_of(ControllerType::Pci)
        .filter_map(|c| c.index)
        .max()
        .unwrap_or(0);
    if !machine.is_express() && !buses.all_full() {
        // Room for one more: a bridge of a later day.
        let _ = buses.next(Need::plain(Plug::Pci), 0);
    }
    let errors = hand_out(buses, devices, machine.is_express());
    if !errors.is_empty() {
        return Err(errors);
    }
    if machine.is_express() && at_first == 0 && buses.len() > 1 {
        // The user left the buses to us: a port stays free for a device that is plugged in later.
        buses.next(Need::plain(Plug::Pcie), 0).map_err(no_place)?;
    }
    Ok(())
}

fn no_place(message: String) -> Bounded<Error> {
    Bounded::new(vec![Error::new(message)], 0)
}

/// Adds the controller of a bus that has none, and reserves the slot that it will take.
fn add_controller(
    buses: &mut Buses,
    devices: &mut Devices,
    index: usize,
    model: ControllerModel,
) -> Result<(), String> {
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    if devices.controller(ControllerType::Pci, number).is_some() {
        return Ok(());
    }
    controller_list::insert(
        &mut devices.controllers,
        Controller::new(ControllerType::Pci, number, Some(model)),
    );
    Need::of_pci_controller(model).map_or(Ok(()), |need| buses.next(need, 0).map(|_| ()))
}

/// Gives addresses to all devices that want one. The order of the kinds is libvirt's.
fn hand_out(buses: &mut Buses, devices: &mut Devices, express: bool) -> Bounded<Error> {
    let mut errors = Bounded::default();
    let mut groups = Usb2Groups::of(devices);
    for item in order(devices) {
        let Some(need) = Need::of(devices, item, express) else {
            continue;
        };
        if !devices.info(item).is_some_and(is_wanted) {
            continue;
        }
        let said = match devices.info(item).and_then(|i| i.address.as_ref()) {
            Some(Address::Pci(pci)) => pci.clone(),
            _ => PciAddress::default(),
        };
        let found = match usb2_function(devices, item) {
            Some(function) => groups.next(buses, devices, item, need, function),
            None => buses.next(need, 0),
        };
        match (found, devices.info_mut(item)) {
            (Ok(at), Some(info)) => {
                info.address = Some(Address::Pci(PciAddress {
                    address: Some(at),
                    ..said
                }));
                groups.add(devices, item, at);
            }
            (Err(message), Some(info)) => {
                let at = info.span.0.clone();
                let what = devices.describe(item);
                errors.push(Error::new(format!("no place for {what}: {message}")).at(at));
            }
            _ => {}
        }
    }
    errors
}

fn order(devices: &Devices) -> Vec<Item> {
    let is_pci = |item: &Item| match item {
        Item::Controller(n) => devices.controllers[*n].kind == Some(ControllerType::Pci),
        _ => false,
    };
    let rank = |item: &Item| match item {
        Item::Controller(_) if is_pci(item) => 0,
        Item::Filesystem(_) => 1,
        // It is placed with the other devices of the host.
        Item::Interface(n) if devices.interfaces[*n].hostdev.is_some() => 6,
        Item::Interface(_) => 2,
        Item::Sound(_) => 3,
        Item::Controller(_) => 4,
        Item::Disk(_) => 5,
        Item::Hostdev(_) => 6,
        Item::Memballoon(_) => 7,
        Item::Rng(_) => 8,
        Item::Watchdog(_) => 9,
        Item::Iommu(_) => 10,
        Item::Video(_) => 11,
        Item::Shmem(_) => 12,
        Item::Input(_) => 13,
        Item::Serial(_) => 14,
        Item::Vsock(_) => 15,
        Item::Crypto(_) => 16,
        Item::Memory(_) => 16,
        // What remains is on no PCI bus, but for a panic device.
        _ => 17,
    };
    let mut items = devices.items();
    items.sort_by_key(rank);
    items
}

/// The function that a controller of an ICH9's USB 2 group has within their common slot.
fn usb2_function(devices: &Devices, item: Item) -> Option<u8> {
    let Item::Controller(n) = item else {
        return None;
    };
    match devices.controllers.get(n)?.model? {
        ControllerModel::Ich9Uhci1 => Some(0),
        ControllerModel::Ich9Uhci2 => Some(1),
        ControllerModel::Ich9Uhci3 => Some(2),
        ControllerModel::Ich9Ehci1 => Some(7),
        _ => None,
    }
}

/// The slots of USB 2 groups: their controllers stand together, each with a function of its own.
struct Usb2Groups(HashMap<Option<u32>, At>);

impl Usb2Groups {
    /// Finds the slots of those groups of which a controller has an address already.
    fn of(devices: &Devices) -> Self {
        let mut groups = Self(HashMap::new());
        for n in 0..devices.controllers.len() {
            let item = Item::Controller(n);
            if let Some(at) = devices.pci_address(item) {
                groups.add(devices, item, at);
            }
        }
        groups
    }

    /// Notes the slot of a controller, where it is the first of its group.
    fn add(&mut self, devices: &Devices, item: Item, at: At) {
        if let Item::Controller(n) = item
            && usb2_function(devices, item).is_some()
        {
            self.0.entry(devices.controllers[n].index).or_insert(at);
        }
    }

    /// Puts a USB 2 controller into the slot that the others of its index are in.
    fn next(
        &self,
        buses: &mut Buses,
        devices: &Devices,
        item: Item,
        need: Need,
        function: u8,
    ) -> Result<At, String> {
        let Item::Controller(n) = item else {
            return buses.next(need, function);
        };
        match self.0.get(&devices.controllers[n].index) {
            Some(sibling) => {
                let at = At {
                    function,
                    ..*sibling
                };
                buses.reserve(at, need).map(|()| at)
            }
            None => buses.next(need, function),
        }
    }
}

/// Says `multifunction` at function 0 of each slot that holds more than that.
fn mark_multifunction(devices: &mut Devices) {
    let items = devices.items();
    let places = items.iter().filter_map(|item| devices.pci_address(*item));
    let shared: HashSet<At> = places
        .filter(|at| at.function != 0)
        .map(|at| At { function: 0, ..at })
        .collect();
    for item in items {
        if let Some(Address::Pci(pci)) = devices.info_mut(item).and_then(|i| i.address.as_mut())
            && pci.address.is_some_and(|at| shared.contains(&at))
        {
            pci.multifunction.get_or_insert(true);
        }
    }
}
=======
>>>>>>> 53f3af0 (domain/place: one file an object, plain words)
