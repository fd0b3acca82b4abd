//! Devices that are taken out of a running guest.

use super::kind;
use super::slot::{self, slot_of};
use crate::error::Error;
use crate::model::device::{Devices, Item};
use crate::model::domain::Domain;
use crate::platform::{Machine, Platform};

/// A running guest's domain without some devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Unplugged {
    /// The domain.
    pub domain: Domain,
    /// The removed devices, as the domain before names them. Function 0 of a slot comes first.
    pub items: Vec<Item>,
}

impl Domain {
    /// Returns this completed domain of a running guest without a device. The other functions in
    /// the device's PCI slot leave too, since the guest can only eject a slot as a whole.
    ///
    /// # Errors
    /// - If the machine is not known, or the guest has no device with the alias, then that error.
    /// - If one of the functions cannot leave a running guest, then an error that names it.
    pub fn unplug(&self, alias: &str, platform: &dyn Platform) -> Result<Unplugged, Error> {
        let machine = Machine::for_domain(self, platform)?;
        let devices = &self.devices;
        let Some(device) = find(devices, alias) else {
            return Err(unknown(devices, alias, &machine));
        };

        let items = functions_of_slot(devices, device);
        for item in &items {
            check(devices, *item, &machine)?;
        }

        let mut domain = self.clone();
        remove(&mut domain.devices, &items);
        Ok(Unplugged { domain, items })
    }
}

/// Checks that a device can leave a running guest.
fn check(devices: &Devices, item: Item, machine: &Machine) -> Result<(), Error> {
    let Some(reason) = fixed_reason(devices, item, machine) else {
        return Ok(());
    };
    let name = devices.describe(item);
    let message = format!("{name} cannot leave a running guest: {reason}");
    Err(Error::new(message))
}

/// Returns the device with an alias.
fn find(devices: &Devices, alias: &str) -> Option<Item> {
    let mut items = devices.items().into_iter();
    items.find(|item| {
        let info = devices.info(*item);
        info.is_some_and(|info| info.alias.as_deref() == Some(alias))
    })
}

/// Returns the error for an alias that no device has, with the aliases that could be meant.
fn unknown(devices: &Devices, alias: &str, machine: &Machine) -> Error {
    let items = devices.items().into_iter();
    let aliases: Vec<&str> = items
        .filter(|item| fixed_reason(devices, *item, machine).is_none())
        .filter_map(|item| devices.info(item)?.alias.as_deref())
        .take(MOST_LISTED)
        .collect();
    let error = Error::new(format!("the guest has no device with the alias '{alias}'"));
    if aliases.is_empty() {
        return error;
    }
    error.hint(format!("name one of {}", aliases.join(", ")))
}

/// Most aliases that a message lists.
const MOST_LISTED: usize = 16;

/// Returns the reason why a device cannot leave a running guest, as a clause; `None` if it can.
fn fixed_reason(devices: &Devices, item: Item, machine: &Machine) -> Option<String> {
    if let Some(reason) = kind::refusal(devices, item, machine) {
        return Some(reason);
    }
    let at = devices.pci_address(item)?;
    slot::fixed_reason(devices, machine, at)
}

/// Returns all devices in the PCI slot of a device, function 0 first; the device alone if it is not
/// on PCI.
fn functions_of_slot(devices: &Devices, device: Item) -> Vec<Item> {
    let slot = slot_of(devices, device);
    if slot.is_none() {
        return vec![device];
    }
    let mut functions = devices.items();
    functions.retain(|item| slot_of(devices, *item) == slot);
    functions.sort_by_key(|item| {
        let at = devices.pci_address(*item);
        at.map(|at| at.function)
    });
    functions
}

/// Removes disks, interfaces and host devices.
fn remove(devices: &mut Devices, items: &[Item]) {
    devices.disks = without(std::mem::take(&mut devices.disks), items, Item::Disk);
    let interfaces = std::mem::take(&mut devices.interfaces);
    devices.interfaces = without(interfaces, items, Item::Interface);
    devices.hostdevs = without(std::mem::take(&mut devices.hostdevs), items, Item::Hostdev);
}

/// Returns the devices of a kind that are not among `items`.
fn without<T>(devices: Vec<T>, items: &[Item], kind: fn(usize) -> Item) -> Vec<T> {
    let numbered = devices.into_iter().enumerate();
    numbered
        .filter(|(number, _)| !items.contains(&kind(*number)))
        .map(|(_, device)| device)
        .collect()
}
