//! Addresses of PCI devices, and the PCI controllers that they need.

use std::collections::HashSet;

use passthru_pci::Address as FunctionAddress;

use super::buses::Buses;
use super::plug::{Need, Plug};
use super::usb2::Usb2Groups;
use super::{chipset, pci_address, target, zpci};
use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::{Address, Devices, Item, PciAddress, controller_list};
use crate::platform::{Board, Machine};

/// Gives an address to every PCI device that has none, and adds the controllers that this needs.
pub(super) fn assign(devices: &mut Devices, machine: &Machine) -> Bounded<Error> {
    if !machine.has_pci() {
        return Bounded::default();
    }
    if let Err(errors) = add_controllers(devices, machine) {
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

/// Creates the buses, with every device on them that has an address already.
fn prepare(devices: &mut Devices, machine: &Machine, grows: bool) -> Buses {
    let mut buses = Buses::new(&devices.controllers, machine.is_express(), grows);
    chipset::place_controllers(machine.board, devices);
    let items = devices.items().into_iter();
    reserve_all(&mut buses, devices, machine, items);
    chipset::place_devices(machine.board, &mut buses, devices);
    buses
}

/// Reserves the addresses of devices that have one.
pub(crate) fn reserve_all(
    buses: &mut Buses,
    devices: &Devices,
    machine: &Machine,
    items: impl Iterator<Item = Item>,
) {
    for item in items {
        let need = Need::for_device(devices, item, machine.is_express());
        let need = need.unwrap_or(Need::plain(Plug::Pci));
        if let Some(at) = devices.pci_address(item)
            && !devices.info(item).is_none_or(pci_address::is_missing)
        {
            // `validate` reports an address that cannot be reserved.
            let _ = buses.reserve(at, need);
        }
    }
}

/// Adds the controllers of the buses that the devices need.
///
/// Hands out addresses on growing buses to find the missing controllers, and takes the addresses
/// back.
fn add_controllers(devices: &mut Devices, machine: &Machine) -> Result<(), Bounded<Error>> {
    let former = addresses(devices);
    let mut buses = prepare(devices, machine, true);
    let drafted = draft(&mut buses, devices, machine);
    restore(devices, former);
    drafted?;
    let mut index = 1;
    while let Some(model) = buses.model(index) {
        add_controller(&mut buses, devices, index, model).map_err(one_error)?;
        index += 1;
    }

    Ok(())
}

/// Returns the current address of each device.
fn addresses(devices: &Devices) -> Vec<(Item, Option<Address>)> {
    let mut addresses = Vec::new();
    for item in devices.items() {
        let info = devices.info(item);
        addresses.push((item, info.and_then(|info| info.address.clone())));
    }

    addresses
}

/// Sets the address of each device to a former one.
fn restore(devices: &mut Devices, addresses: Vec<(Item, Option<Address>)>) {
    for (item, address) in addresses {
        if let Some(info) = devices.info_mut(item) {
            info.address = address;
        }
    }
}

/// Hands out addresses on buses that grow as needed.
fn draft(
    buses: &mut Buses,
    devices: &mut Devices,
    machine: &Machine,
) -> Result<(), Bounded<Error>> {
    let last_index = devices
        .controllers_of(ControllerType::Pci)
        .filter_map(|c| c.index)
        .max()
        .unwrap_or(0);
    if !machine.is_express() && !buses.all_full() {
        // One slot stays free for a bridge that is added later.
        let _ = buses.next(Need::plain(Plug::Pci), 0);
    }

    let errors = hand_out(buses, devices, machine.is_express());
    if !errors.is_empty() {
        return Err(errors);
    }
    if machine.is_express() && last_index == 0 && buses.len() > 1 {
        // The user named no bus but the root: one port stays free for a device that is plugged in
        // later.
        buses.next(Need::plain(Plug::Pcie), 0).map_err(one_error)?;
    }

    Ok(())
}

/// Returns a list with one error.
fn one_error(message: String) -> Bounded<Error> {
    Bounded::new(vec![Error::new(message)], 0)
}

/// Adds the controller of a bus that has none, and reserves the slot that the controller will take.
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
    let controller = Controller::new(ControllerType::Pci, number, Some(model));
    controller_list::insert(&mut devices.controllers, controller);
    if let Some(need) = Need::for_pci_controller(model) {
        buses.next(need, 0)?;
    }
    Ok(())
}

/// Gives addresses to all devices that have none, in libvirt's order of kinds.
fn hand_out(buses: &mut Buses, devices: &mut Devices, express: bool) -> Bounded<Error> {
    let mut errors = Bounded::default();
    let mut groups = Usb2Groups::new(devices);
    for item in in_order(devices) {
        let Some(need) = Need::for_device(devices, item, express) else {
            continue;
        };
        if !devices.info(item).is_some_and(pci_address::is_missing) {
            continue;
        }
        match groups.next(buses, devices, item, need) {
            Ok(at) => {
                set_address(devices, item, at);
                groups.add(devices, item, at);
            }
            Err(message) => errors.push(no_place(devices, item, &message)),
        }
    }

    errors
}

/// Sets the PCI address of a device, and keeps the other attributes of its `<address>`.
pub(crate) fn set_address(devices: &mut Devices, item: Item, at: FunctionAddress) {
    let Some(info) = devices.info_mut(item) else {
        return;
    };
    let given = match info.address.take() {
        Some(Address::Pci(pci)) => pci,
        _ => PciAddress::default(),
    };
    info.address = Some(Address::Pci(PciAddress {
        address: Some(at),
        ..given
    }));
}

/// Returns the error of a device that has no possible address.
fn no_place(devices: &Devices, item: Item, reason: &str) -> Error {
    let device = devices.describe(item);
    let span = devices.info(item).and_then(|info| info.span.0.clone());
    Error::new(format!("no place for {device}: {reason}")).at(span)
}

/// Returns the devices in the order in which they get their addresses.
fn in_order(devices: &Devices) -> Vec<Item> {
    let mut items = devices.items();
    items.sort_by_key(|item| rank(devices, *item));
    items
}

/// Returns the rank of a device's kind in the order in which addresses are handed out.
fn rank(devices: &Devices, item: Item) -> u8 {
    match item {
        Item::Controller(n) if devices.controllers[n].kind == Some(ControllerType::Pci) => 0,
        Item::Filesystem(_) => 1,
        // An assigned network card comes with the other host devices.
        Item::Interface(n) if devices.interfaces[n].hostdev.is_some() => 6,
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
        // None of the others is on a PCI bus, except a panic device.
        _ => 17,
    }
}

/// Sets `multifunction` at function 0 of each slot that holds further functions.
pub(crate) fn mark_multifunction(devices: &mut Devices) {
    let items = devices.items();
    let mut first_functions: HashSet<FunctionAddress> = HashSet::new();
    for item in &items {
        if let Some(at) = devices.pci_address(*item)
            && at.function != 0
        {
            first_functions.insert(FunctionAddress { function: 0, ..at });
        }
    }

    for item in items {
        if let Some(Address::Pci(pci)) = devices.info_mut(item).and_then(|i| i.address.as_mut())
            && pci.address.is_some_and(|at| first_functions.contains(&at))
        {
            pci.multifunction.get_or_insert(true);
        }
    }
}
