//! PCI addresses: each used once, on a bus that is there and accepts the device.

use super::{Check, place_of};
use crate::Error;
use crate::address::plug::{Need, Plug};
use crate::address::{Buses, chipset};
use crate::device::controller::{ControllerModel, ControllerType};
use crate::device::{Address, Item};
use passthru_pci::Address as At;
use std::collections::HashMap;

pub(super) fn check(check: &mut Check<'_>) {
    if check.machine.has_pci() {
        places(check);
        below(check);
    }
}

fn places(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut buses = Buses::of(&devices.controllers, check.machine.is_express(), false);
    let hidden = chipset::hidden(check.machine.board);
    let mut used: HashMap<At, String> = hidden.into_iter().map(|(what, at)| (at, what.to_owned())).collect();
    for item in devices.items() {
        let Some(at) = devices.pci_address(item) else { continue };
        if is_root(check, item) {
            // That it has an address at all is said with the other controllers.
            continue;
        }
        let (what, place) = (devices.describe(item), place_of(devices.info(item)));
        if let Some(other) = used.get(&at) {
            check.error(&place, format!("PCI address {at} is used twice: by {other} and by {what}"));
            continue;
        }
        let need = Need::of(devices, item, check.machine.is_express()).unwrap_or(Need::plain(Plug::Pci));
        if let Some(message) = misplaced(check, item, at).or_else(|| buses.reserve(at, need).err()) {
            check.errors.push(misfit(format!("{what}: {message}"), need).at(place.0));
        }
        used.insert(at, what);
    }
}

fn is_root(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else { return false };
    let model = check.domain.devices.controllers[n].model;
    matches!(model, Some(ControllerModel::PciRoot | ControllerModel::PcieRoot))
}

/// The board's own controllers are where the board has them.
fn misplaced(check: &Check<'_>, item: Item, at: At) -> Option<String> {
    let Item::Controller(n) = item else { return None };
    let place = chipset::place_of(check.machine.board, &check.domain.devices.controllers[n])?;
    (place != at).then(|| format!("the machine '{}' has it at {place}, not at {at}", check.machine.name))
}

fn misfit(message: String, need: Need) -> Error {
    let error = Error::new(message);
    match need.plug {
        _ if need.integrated => error.hint("leave the <address> out, and it is chosen"),
        Plug::Pci | Plug::Pcie => error.hint(
            "put the device on a port or bridge (pcie-root-port …), or leave the <address> out, and it is chosen",
        ),
        _ => error,
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
            check.error(&controller.info.place, message);
        }
    }
}
