//! The address element of a PCI device.

use passthru_pci::Address as FunctionAddress;

use crate::model::device::{Address, Info, PciAddress};

/// Returns the address element of a PCI function.
pub(super) fn new(at: FunctionAddress, multifunction: Option<bool>) -> Address {
    Address::Pci(PciAddress {
        address: Some(at),
        multifunction,
        zpci: None,
    })
}

/// Returns whether the PCI address of a device is still to be chosen.
///
/// As in libvirt, an address of all zeros (the host bridge's) counts as none.
pub(crate) fn is_missing(info: &Info) -> bool {
    match &info.address {
        None => true,
        Some(Address::Pci(pci)) => pci
            .address
            .is_none_or(|at| (at.domain, at.bus, at.slot) == (0, 0, 0)),
        Some(_) => false,
    }
}
