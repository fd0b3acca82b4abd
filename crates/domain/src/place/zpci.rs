//! The ids of PCI functions on Z: those that are left out get the lowest that is free.

use crate::model::device::address::Zpci;
use crate::model::device::{Address, Devices, Item};
use std::collections::HashSet;

/// Fills in the ids of every device on PCI but the root bus: first what is said in part, then the
/// rest.
pub(super) fn fill(devices: &mut Devices) {
    let items: Vec<Item> = devices
        .items()
        .into_iter()
        .filter(|item| has_ids(devices, *item))
        .collect();
    let said = |item: &Item| zpci_of(devices, *item).cloned().unwrap_or_default();
    let mut uids: HashSet<u16> = items.iter().filter_map(|item| said(item).uid).collect();
    let mut fids: HashSet<u32> = items.iter().filter_map(|item| said(item).fid).collect();
    let (partly, rest): (Vec<Item>, Vec<Item>) =
        items.iter().partition(|item| said(item) != Zpci::default());
    let (mut free_uid, mut free_fid) = (1..=u16::MAX, 0..=u32::MAX);
    for item in partly.into_iter().chain(rest) {
        let Some(Address::Pci(pci)) = devices
            .info_mut(item)
            .and_then(|info| info.address.as_mut())
        else {
            continue;
        };
        let zpci = pci.zpci.get_or_insert_default();
        zpci.uid = zpci.uid.or_else(|| free_uid.find(|uid| uids.insert(*uid)));
        zpci.fid = zpci.fid.or_else(|| free_fid.find(|fid| fids.insert(*fid)));
    }
}

fn has_ids(devices: &Devices, item: Item) -> bool {
    devices.pci_address(item).is_some()
}

/// Returns the ids that a device says.
pub(crate) fn zpci_of(devices: &Devices, item: Item) -> Option<&Zpci> {
    match devices.info(item)?.address.as_ref()? {
        Address::Pci(pci) => pci.zpci.as_ref(),
        _ => None,
    }
}
