//! Ids of PCI functions on Z (`<zpci>`): a missing id becomes the lowest free one.

use std::collections::HashSet;

use crate::model::device::address::Zpci;
use crate::model::device::{Address, Devices, Item};

/// Fills in the ids of every PCI device. Devices that have one of the two ids come first.
pub(super) fn fill(devices: &mut Devices) {
    let mut uids: HashSet<u16> = HashSet::new();
    let mut fids: HashSet<u32> = HashSet::new();
    let mut partly = Vec::new();
    let mut rest = Vec::new();
    for item in devices.items() {
        if devices.pci_address(item).is_none() {
            continue;
        }
        let given = zpci_of(devices, item).cloned().unwrap_or_default();
        uids.extend(given.uid);
        fids.extend(given.fid);
        if given == Zpci::default() {
            rest.push(item);
        } else {
            partly.push(item);
        }
    }

    let mut free_uid = 1..=u16::MAX;
    let mut free_fid = 0..=u32::MAX;
    for item in partly.into_iter().chain(rest) {
        let info = devices.info_mut(item);
        let Some(Address::Pci(pci)) = info.and_then(|info| info.address.as_mut()) else {
            continue;
        };
        let zpci = pci.zpci.get_or_insert_default();
        zpci.uid = zpci.uid.or_else(|| free_uid.find(|uid| uids.insert(*uid)));
        zpci.fid = zpci.fid.or_else(|| free_fid.find(|fid| fids.insert(*fid)));
    }
}

/// Returns the `<zpci>` of a device.
pub(crate) fn zpci_of(devices: &Devices, item: Item) -> Option<&Zpci> {
    match devices.info(item)?.address.as_ref()? {
        Address::Pci(pci) => pci.zpci.as_ref(),
        _ => None,
    }
}
