//! PCI addresses: unique, on a bus that exists and accepts the device.

use std::collections::HashMap;

use passthru_pci::Address as FunctionAddress;

use super::check::{Check, span_of};
use crate::error::Error;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::{Address, Controller, Item};
use crate::place::plug::{Need, Plug};
use crate::place::{Buses, chipset};

pub(super) fn check(check: &mut Check<'_>) {
    if check.machine.has_pci() {
        check_addresses(check);
        check_functions(check);
        check_below(check);
        check_chassis(check);
    }
}

/// Checks that PCI addresses are unique and fit their buses.
fn check_addresses(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut buses = Buses::new(&devices.controllers, check.machine.is_express(), false);
    let hidden = chipset::hidden_devices(check.machine.board);
    let mut used: HashMap<FunctionAddress, String> = hidden
        .into_iter()
        .map(|(device, at)| (at, device.to_owned()))
        .collect();
    for item in devices.items() {
        let Some(at) = devices.pci_address(item) else {
            continue;
        };
        if is_root(check, item) {
            // The check of controllers reports a root bus with an address.
            continue;
        }
        let device = devices.describe(item);
        let span = span_of(devices.info(item));
        if let Some(other) = used.get(&at) {
            check.error(
                &span,
                format!("PCI address {at} is used twice: by {other} and by {device}"),
            );
            continue;
        }
        let need = Need::for_device(devices, item, check.machine.is_express())
            .unwrap_or(Need::plain(Plug::Pci));
        if let Some(message) = misplaced(check, item, at).or_else(|| buses.reserve(at, need).err())
        {
            check
                .errors
                .push(misfit(format!("{device}: {message}"), need).at(span.0));
        }
        used.insert(at, device);
    }
}

/// Returns whether a device is the root bus.
fn is_root(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else {
        return false;
    };
    let model = check.domain.devices.controllers[n].model;
    matches!(
        model,
        Some(ControllerModel::PciRoot | ControllerModel::PcieRoot)
    )
}

/// Returns the error of a board's own controller whose address is not the board's.
fn misplaced(check: &Check<'_>, item: Item, at: FunctionAddress) -> Option<String> {
    let Item::Controller(n) = item else {
        return None;
    };
    let controller = &check.domain.devices.controllers[n];
    let place = chipset::controller_address(check.machine.board, controller)?;
    if place == at {
        return None;
    }
    let name = &check.machine.name;
    Some(format!(
        "the machine '{name}' has this controller at {place}, not at {at}"
    ))
}

/// Returns the error of a device that does not fit its bus, with advice.
fn misfit(message: String, need: Need) -> Error {
    let error = Error::new(message);
    match need.plug {
        _ if need.integrated => error.hint("leave the <address> out to have one chosen"),
        Plug::Pci | Plug::Pcie => error.hint(
            "put the device on a port or bridge (such as pcie-root-port), or leave the <address> \
             out to have one chosen",
        ),
        _ => error,
    }
}

/// Checks that function 0 of a slot with several functions does not have `multifunction='off'`.
fn check_functions(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let items = devices.items();
    let mut single: HashMap<FunctionAddress, Item> = HashMap::new();
    for item in &items {
        if let Some(Address::Pci(pci)) = devices.info(*item).and_then(|i| i.address.as_ref())
            && let Some(at) = pci.address
            && at.function == 0
            && pci.multifunction == Some(false)
        {
            single.insert(at, *item);
        }
    }

    for item in items {
        let Some(at) = devices.pci_address(item).filter(|at| at.function != 0) else {
            continue;
        };
        if let Some(first) = single.get(&FunctionAddress { function: 0, ..at }) {
            let device = devices.describe(item);
            let first = devices.describe(*first);
            let message =
                format!("{device} is at {at}, but {first} in that slot has multifunction='off'");
            check.error(&span_of(devices.info(item)), message);
        }
    }
}

/// Checks that the chassis numbers of ports are unique, as QEMU requires.
fn check_chassis(check: &mut Check<'_>) {
    let mut used: HashMap<u8, u32> = HashMap::new();
    for controller in check.domain.devices.controllers_of(ControllerType::Pci) {
        let is_port = matches!(
            controller.model,
            Some(ControllerModel::PcieRootPort | ControllerModel::PcieSwitchDownstreamPort)
        );
        let chassis = controller
            .target
            .as_ref()
            .and_then(|target| target.chassis)
            .filter(|_| is_port);
        let Some(chassis) = chassis else { continue };
        let Some(index) = controller.index else {
            continue;
        };
        if let Some(other) = used.insert(chassis, index) {
            let message = format!(
                "chassis='{chassis}' is used twice: by the PCI controllers {other} and {index}"
            );
            check.error(&controller.info.span, message);
        }
    }
}

/// Checks that each controller is below a root bus.
///
/// The index of a `pci-bridge` must be larger than its bus, as in libvirt
/// (`qemuDomainAssignPCIAddresses`). Other controllers may be on a bus of a larger index.
fn check_below(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut above: HashMap<u32, u32> = HashMap::new();
    for controller in devices.controllers_of(ControllerType::Pci) {
        if let (Some(index), Some(bus)) = (controller.index, bus_of(controller)) {
            above.entry(index).or_insert(bus);
        }
    }

    for controller in devices.controllers_of(ControllerType::Pci) {
        let (Some(index), Some(bus)) = (controller.index, bus_of(controller)) else {
            continue;
        };
        let message = if controller.model == Some(ControllerModel::PciBridge) && index <= bus {
            format!(
                "the PCI controller with index {index} is on bus {bus}; \
                 its index must be larger than its bus"
            )
        } else if is_in_loop(&above, bus) {
            format!(
                "the PCI controller with index {index} is on bus {bus}, which is not below the \
                 root bus: the buses form a loop"
            )
        } else {
            continue;
        };
        check.error(&controller.info.span, message);
    }
}

/// Returns the bus that a controller other than the root is on.
fn bus_of(controller: &Controller) -> Option<u32> {
    let at = controller.info.address.as_ref().and_then(Address::pci)?;
    (controller.index != Some(0)).then_some(u32::from(at.bus))
}

/// Returns whether the way up from a bus never ends. `above` has the next bus for each bus.
fn is_in_loop(above: &HashMap<u32, u32>, mut bus: u32) -> bool {
    for _ in 0..=u8::MAX {
        match above.get(&bus) {
            Some(next) => bus = *next,
            None => return false,
        }
    }

    true
}
