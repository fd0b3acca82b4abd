//! PCI addresses of devices that are plugged into a running guest.

use std::collections::BTreeMap;

use passthru_pci::Address as FunctionAddress;

use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::{Address, Devices, Item};
use crate::place::plug::{Need, Plug};
use crate::place::{Buses, chipset, mark_multifunction, pci_address, reserve_all, set_address};
use crate::platform::{Board, Machine};

/// Most free buses that a message lists.
const MOST_LISTED: usize = 8;

/// Advice for a guest that has no free port.
const ADD_PORTS: &str = "add spare ports to the domain, each a <controller type='pci' \
                         model='pcie-root-port'/>, and start the guest anew";

/// Advice for a guest with conventional PCI that has no free slot.
const ADD_BRIDGE: &str = "add <controller type='pci' model='pci-bridge'/> to the domain, and start \
                          the guest anew";

/// Gives PCI addresses to the devices `added`, on the buses that the guest has. Returns an error
/// for each device that has no possible address.
///
/// - A device keeps the address that its XML names, if the slot is free and has hotplug.
/// - Functions of one slot of the host get one slot of the guest, and keep their numbers, if
///   function 0 is among them.
/// - Any other device gets function 0 of the first free slot: with PCI Express that is a port.
pub(super) fn assign(devices: &mut Devices, machine: &Machine, added: &[Item]) -> Bounded<Error> {
    if !machine.has_pci() {
        return Bounded::default();
    }
    let mut added = added.to_vec();
    added.retain(|item| is_on_pci(devices, *item, machine));
    let mut slots = Slots::new(devices, machine, &added);
    let mut errors = slots.take_given(devices, &added);
    errors.append(slots.hand_out(devices, &added));
    mark_multifunction(devices);
    errors
}

/// Returns whether a device has a PCI address, or is still to get one.
fn is_on_pci(devices: &Devices, item: Item, machine: &Machine) -> bool {
    let address = devices.info(item).and_then(|info| info.address.as_ref());
    let has_other = address.is_some_and(|address| !matches!(address, Address::Pci(_)));
    !has_other && Need::for_device(devices, item, machine.is_express()).is_some()
}

/// Returns bus and slot of a PCI device.
pub(super) fn slot_of(devices: &Devices, item: Item) -> Option<(u8, u8)> {
    let at = devices.pci_address(item)?;
    Some((at.bus, at.slot))
}

/// Returns the reason why the slot of an address has no hotplug, as a clause; `None` if it has.
pub(super) fn fixed_reason(
    devices: &Devices,
    machine: &Machine,
    at: FunctionAddress,
) -> Option<String> {
    let bus = u32::from(at.bus);
    let Some(controller) = devices.controller(ControllerType::Pci, bus) else {
        return Some(format!("there is no PCI controller with the index {bus}"));
    };
    if controller.target.as_ref().and_then(|t| t.hotplug) == Some(false) {
        return Some(format!("the PCI controller {bus} has hotplug='off'"));
    }
    match controller.model {
        Some(model) if has_hotplug(model, machine) => None,
        Some(ControllerModel::PcieRoot) => {
            Some("the root bus (bus 0) of a PCI Express machine has no hotplug".into())
        }
        model => {
            let model = model.map_or("PCI controller", ControllerModel::as_str);
            Some(format!("the {model} of bus {bus} has no hotplug"))
        }
    }
}

/// Returns whether the slots of a controller have hotplug.
fn has_hotplug(model: ControllerModel, machine: &Machine) -> bool {
    match model {
        ControllerModel::PciRoot => machine.board == Board::I440fx,
        ControllerModel::PcieRootPort
        | ControllerModel::PcieSwitchDownstreamPort
        | ControllerModel::PciBridge
        | ControllerModel::PcieToPciBridge => true,
        _ => false,
    }
}

/// The slots of a running guest.
struct Slots<'a> {
    machine: &'a Machine,
    buses: Buses,
    /// Numbers of the buses that a device without an address may be plugged into.
    chosen: Vec<u8>,
}

impl<'a> Slots<'a> {
    /// Collects the slots. Those of devices that are not `added` are in use.
    fn new(devices: &Devices, machine: &'a Machine, added: &[Item]) -> Self {
        let mut buses = Buses::new(&devices.controllers, machine.is_express(), false);
        for (_, at) in chipset::hidden_devices(machine.board) {
            let _ = buses.reserve(at, Need::plain(Plug::Pci));
        }
        let items = devices.items().into_iter();
        let present = items.filter(|item| !added.contains(item));
        reserve_all(&mut buses, devices, machine, present);

        let mut chosen = Vec::new();
        for controller in devices.controllers_of(ControllerType::Pci) {
            let index = controller.index.map(u8::try_from);
            if is_chosen(controller, machine)
                && let Some(Ok(index)) = index
            {
                chosen.push(index);
            }
        }

        Self {
            machine,
            buses,
            chosen,
        }
    }

    /// Reserves the addresses that the XML names.
    fn take_given(&mut self, devices: &Devices, added: &[Item]) -> Bounded<Error> {
        let mut by_slot: BTreeMap<FunctionAddress, Vec<Item>> = BTreeMap::new();
        for item in added {
            if let Some(at) = given_address(devices, *item) {
                let slot = FunctionAddress { function: 0, ..at };
                by_slot.entry(slot).or_default().push(*item);
            }
        }

        let mut errors = Bounded::default();
        for (slot, items) in by_slot {
            if let Some(reason) = self.refusal_of(devices, slot, &items) {
                for item in items {
                    errors.push(self.refused(devices, item, &reason));
                }
                continue;
            }
            for item in items {
                let at = given_address(devices, item).unwrap_or(slot);
                let need = self.need(devices, item);
                if let Err(reason) = self.buses.reserve(at, need) {
                    errors.push(self.refused(devices, item, &reason));
                }
            }
        }

        errors
    }

    /// Returns the reason why devices cannot get the functions of a slot that they name.
    fn refusal_of(
        &self,
        devices: &Devices,
        slot: FunctionAddress,
        items: &[Item],
    ) -> Option<String> {
        if let Some(reason) = fixed_reason(devices, self.machine, slot) {
            return Some(reason);
        }
        if self.buses.in_use(slot.bus, slot.slot) {
            let user = user_of(devices, slot, items);
            return Some(format!("the slot of PCI address {slot} is in use{user}"));
        }

        let mut functions = items
            .iter()
            .filter_map(|item| given_address(devices, *item));
        let has_first = functions.any(|at| at.function == 0);
        (!has_first).then(|| format!("the guest looks for function 0 first, and {slot} is missing"))
    }

    /// Gives addresses to the devices that name none.
    fn hand_out(&mut self, devices: &mut Devices, added: &[Item]) -> Bounded<Error> {
        let groups = group_by_host_slot(devices, added);
        let needed = groups.len();
        let free = self.free_buses();
        let mut errors = Bounded::default();
        for group in groups {
            let Some((bus, slot)) = self.first_free(devices, &group) else {
                for (item, _) in group.members {
                    let reason = lacking(needed, &free, self.machine);
                    errors.push(self.refused(devices, item, &reason));
                }
                continue;
            };
            for (item, function) in group.members {
                let need = self.need(devices, item);
                let Some(at) = FunctionAddress::new(0, bus, slot, function) else {
                    continue;
                };
                match self.buses.reserve(at, need) {
                    Ok(()) => set_address(devices, item, at),
                    Err(reason) => errors.push(self.refused(devices, item, &reason)),
                }
            }
        }

        errors
    }

    /// Returns the first free slot that accepts all functions of a device.
    fn first_free(&self, devices: &Devices, group: &SlotGroup) -> Option<(u8, u8)> {
        let (first, _) = group.members.first()?;
        let plug = self.need(devices, *first).plug;
        self.chosen
            .iter()
            .find_map(|bus| Some((*bus, self.buses.empty_slot(*bus, plug)?)))
    }

    /// Returns the numbers of the buses with a free slot for an endpoint.
    fn free_buses(&self) -> Vec<u8> {
        let plug = if self.machine.is_express() {
            Plug::Pcie
        } else {
            Plug::Pci
        };
        let mut free = self.chosen.clone();
        free.retain(|bus| self.buses.empty_slot(*bus, plug).is_some());
        free
    }

    fn need(&self, devices: &Devices, item: Item) -> Need {
        let need = Need::for_device(devices, item, self.machine.is_express());
        need.unwrap_or(Need::plain(Plug::Pci))
    }

    /// Returns the error of a device that gets no address, with advice.
    fn refused(&self, devices: &Devices, item: Item, reason: &str) -> Error {
        let device = devices.describe(item);
        let span = devices.info(item).and_then(|info| info.span.0.clone());
        let free = self.free_buses();
        let hint = match (free.is_empty(), self.machine.is_express()) {
            (false, _) => {
                let list = listed(&free);
                format!("name a free bus, which has the index {list}, or leave the <address> out")
            }
            (true, true) => ADD_PORTS.into(),
            (true, false) => ADD_BRIDGE.into(),
        };
        Error::new(format!("no place for {device}: {reason}"))
            .at(span)
            .hint(hint)
    }
}

/// Returns whether a device without an address may be plugged into a controller.
fn is_chosen(controller: &Controller, machine: &Machine) -> bool {
    let is_off = controller.target.as_ref().and_then(|t| t.hotplug) == Some(false);
    let is_kind = match controller.model {
        Some(ControllerModel::PcieRootPort | ControllerModel::PcieSwitchDownstreamPort) => true,
        Some(model) => !machine.is_express() && has_hotplug(model, machine),
        None => false,
    };
    is_kind && !is_off
}

/// Returns the address that the XML of a device names.
fn given_address(devices: &Devices, item: Item) -> Option<FunctionAddress> {
    let is_missing = devices.info(item).is_none_or(pci_address::is_missing);
    devices.pci_address(item).filter(|_| !is_missing)
}

/// Devices that get one slot of the guest.
struct SlotGroup {
    /// Their slot on the host, for PCI functions of the host.
    host: Option<FunctionAddress>,
    /// The devices, each with its function.
    members: Vec<(Item, u8)>,
}

impl SlotGroup {
    fn of_one(item: Item) -> Self {
        Self {
            host: None,
            members: vec![(item, 0)],
        }
    }
}

/// Groups the devices without an address by their slot on the host, with the functions that they
/// have there. A device that is not a PCI function of the host is a group of its own. So is each
/// device of a group without function 0.
fn group_by_host_slot(devices: &Devices, added: &[Item]) -> Vec<SlotGroup> {
    let mut groups: Vec<SlotGroup> = Vec::new();
    for item in added {
        if given_address(devices, *item).is_some() {
            continue;
        }
        let Some(at) = host_address(devices, *item) else {
            groups.push(SlotGroup::of_one(*item));
            continue;
        };
        let host = Some(FunctionAddress { function: 0, ..at });
        let member = (*item, at.function);
        match groups.iter_mut().find(|group| group.host == host) {
            Some(group) => group.members.push(member),
            None => groups.push(SlotGroup {
                host,
                members: vec![member],
            }),
        }
    }

    let mut complete = Vec::new();
    for group in groups {
        if group.members.iter().any(|(_, function)| *function == 0) {
            complete.push(group);
        } else {
            let items = group.members.into_iter().map(|(item, _)| item);
            complete.extend(items.map(SlotGroup::of_one));
        }
    }

    complete
}

/// Returns the address on the host of an assigned PCI function.
fn host_address(devices: &Devices, item: Item) -> Option<FunctionAddress> {
    match item {
        Item::Hostdev(n) => devices.hostdevs.get(n)?.pci(),
        Item::Interface(n) => devices.interfaces.get(n)?.hostdev.as_ref()?.pci(),
        _ => None,
    }
}

/// Returns ` by DEVICE` for the device in a slot that is not one of `items`.
fn user_of(devices: &Devices, slot: FunctionAddress, items: &[Item]) -> String {
    let mut others = devices.items().into_iter().filter(|o| !items.contains(o));
    let user = others.find(|other| {
        let at = devices.pci_address(*other);
        at.is_some_and(|at| (at.bus, at.slot) == (slot.bus, slot.slot))
    });
    user.map_or_else(String::new, |user| {
        format!(" by {}", devices.describe(user))
    })
}

/// Returns the reason why too few slots are free.
fn lacking(needed: usize, free: &[u8], machine: &Machine) -> String {
    let kind = if machine.is_express() {
        "port"
    } else {
        "PCI slot"
    };
    match (needed, free) {
        (1, _) => format!("no {kind} is free"),
        (_, []) => format!("{needed} {kind}s are needed, and none is free"),
        (_, free) => {
            let list = listed(free);
            format!("{needed} {kind}s are needed, and only those of index {list} are free")
        }
    }
}

/// Returns the numbers of buses, for a message.
fn listed(buses: &[u8]) -> String {
    let shown = buses.iter().take(MOST_LISTED);
    let mut list = shown.map(u8::to_string).collect::<Vec<_>>().join(", ");
    if buses.len() > MOST_LISTED {
        list.push_str(&format!(" and {} more", buses.len() - MOST_LISTED));
    }
    list
}
