//! USB 2 groups of an ICH9: their controllers share a slot, with a function each.

use std::collections::HashMap;

use passthru_pci::Address as FunctionAddress;

use super::buses::Buses;
use super::plug::Need;
use crate::model::device::controller::ControllerModel;
use crate::model::device::{Devices, Item};

/// The slots of the USB 2 groups, by the index that the controllers of a group share.
pub(super) struct Usb2Groups(HashMap<Option<u32>, FunctionAddress>);

impl Usb2Groups {
    /// Collects the groups of which a controller has an address already.
    pub(super) fn new(devices: &Devices) -> Self {
        let mut groups = Self(HashMap::new());
        for n in 0..devices.controllers.len() {
            let item = Item::Controller(n);
            if let Some(at) = devices.pci_address(item) {
                groups.add(devices, item, at);
            }
        }

        groups
    }

    /// Records the slot of a controller if it is the first of its group.
    pub(super) fn add(&mut self, devices: &Devices, item: Item, at: FunctionAddress) {
        if let Item::Controller(n) = item
            && function(devices, item).is_some()
        {
            self.0.entry(devices.controllers[n].index).or_insert(at);
        }
    }

    /// Reserves an address for a device. A controller of a group gets its function in the group's
    /// slot.
    ///
    /// # Errors
    /// If no slot is free, or the function in the group's slot is taken.
    pub(super) fn next(
        &self,
        buses: &mut Buses,
        devices: &Devices,
        item: Item,
        need: Need,
    ) -> Result<FunctionAddress, String> {
        let (Item::Controller(n), Some(function)) = (item, function(devices, item)) else {
            return buses.next(need, 0);
        };
        let Some(sibling) = self.0.get(&devices.controllers[n].index) else {
            return buses.next(need, function);
        };
        let at = FunctionAddress {
            function,
            ..*sibling
        };
        buses.reserve(at, need).map(|()| at)
    }
}

/// Returns the function that a controller of a USB 2 group has within the group's slot.
fn function(devices: &Devices, item: Item) -> Option<u8> {
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
