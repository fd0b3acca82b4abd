//! PCI addresses: each used once, on a bus that is there and accepts the device.

use std::collections::HashMap;

use passthru_pci::Address as FunctionAddress;

use super::{Check, span_of};
use crate::error::Error;
use crate::model::device::controller::{ControllerModel, ControllerType};
use crate::model::device::{Address, Item};
use crate::place::plug::{Need, Plug};
use crate::place::{Buses, chipset};

pub(super) fn check(check: &mut Check<'_>) {
    if check.machine.has_pci() {
        places(check);
        functions(check);
        below(check);
        chassis(check);
    }
}

fn places(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut buses = Buses::new(&devices.controllers, check.machine.is_express(), false);
    let hidden = chipset::hidden(check.machine.board);
    let mut used: HashMap<FunctionAddress, String> = hidden
        .into_iter()
        .map(|(what, at)| (at, what.to_owned()))
        .collect();
    for item in devices.items() {
        let Some(at) = devices.pci_address(item) else {
            continue;
        };
        if is_root(check, item) {
            // That it has an address at all is said with the other controllers.
            continue;
        }
        let (what, span) = (devices.describe(item), span_of(devices.info(item)));
        if let Some(other) = used.get(&at) {
            check.error(
                &span,
                format!("PCI address {at} is used twice: by {other} and by {what}"),
            );
            continue;
        }
        let need = Need::for_device(devices, item, check.machine.is_express())
            .unwrap_or(Need::plain(Plug::Pci));
        if let Some(message) = misplaced(check, item, at).or_else(|| buses.reserve(at, need).err())
        {
            check
                .errors
                .push(misfit(format!("{what}: {message}"), need).at(span.0));
        }
        used.insert(at, what);
    }
}

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

/// The board's own controllers are where the board has them.
fn misplaced(check: &Check<'_>, item: Item, at: FunctionAddress) -> Option<String> {
    let Item::Controller(n) = item else {
        return None;
    };
    let place = chipset::place_of(check.machine.board, &check.domain.devices.controllers[n])?;
    (place != at).then(|| {
        format!(
            "the machine '{}' has this controller at {place}, not at {at}",
            check.machine.name
        )
    })
}

fn misfit(message: String, need: Need) -> Error {
    let error = Error::new(message);
    match need.plug {
        _ if need.integrated => error.hint("leave the <address> out to have one chosen"),
        Plug::Pci | Plug::Pcie => error.hint(
            "put the device on a port or bridge (such as pcie-root-port), or leave the <address> out to have one chosen",
        ),
        _ => error,
    }
}

/// Other functions of a slot are found by the flag of function 0: QEMU refuses them where it says
/// that there are none.
fn functions(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let items = devices.items();
    let single = |item: &Item| {
        let Address::Pci(pci) = devices.info(*item)?.address.as_ref()? else {
            return None;
        };
        let at = pci
            .address
            .filter(|at| at.function == 0 && pci.multifunction == Some(false))?;
        Some((at, *item))
    };
    let single: HashMap<FunctionAddress, Item> = items.iter().filter_map(single).collect();
    for item in items {
        let Some(at) = devices.pci_address(item).filter(|at| at.function != 0) else {
            continue;
        };
        if let Some(first) = single.get(&FunctionAddress { function: 0, ..at }) {
            let (what, first) = (devices.describe(item), devices.describe(*first));
            let message =
                format!("{what} is at {at}, but {first} in that slot has multifunction='off'");
            check.error(&span_of(devices.info(item)), message);
        }
    }
}

/// Ports are told apart by their chassis: QEMU refuses a second one.
fn chassis(check: &mut Check<'_>) {
    let mut used: HashMap<u8, u32> = HashMap::new();
    for controller in check.domain.devices.controllers_of(ControllerType::Pci) {
        let port = matches!(
            controller.model,
            Some(ControllerModel::PcieRootPort | ControllerModel::PcieSwitchDownstreamPort)
        );
        let chassis = controller
            .target
            .as_ref()
            .and_then(|target| target.chassis)
            .filter(|_| port);
        let (Some(chassis), Some(index)) = (chassis, controller.index) else {
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

/// A controller comes after the one that it is on: its index is higher than its bus.
fn below(check: &mut Check<'_>) {
    for controller in check.domain.devices.controllers_of(ControllerType::Pci) {
        let at = controller.info.address.as_ref().and_then(Address::pci);
        if let (Some(index), Some(at)) = (controller.index, at)
            && index <= u32::from(at.bus)
        {
            let message = format!(
                "the PCI controller with index {index} is on bus {}; its index must be larger than its bus",
                at.bus
            );
            check.error(&controller.info.span, message);
        }
    }
}
