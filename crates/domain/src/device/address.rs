//! `<address>`: where a device is within the guest.

use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

/// Where a device is within the guest.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// On a PCI bus.
    Pci(PciAddress),
    /// On a disk controller.
    Drive(DriveAddress),
    /// On the bus of the machine's virtio-mmio devices.
    VirtioMmio,
}

words! {
    /// The kinds of address.
    pub enum AddressType {
        /// On a PCI bus.
        Pci = "pci",
        /// On a disk controller.
        Drive = "drive",
        /// On the bus of the machine's virtio-mmio devices.
        VirtioMmio = "virtio-mmio",
    }
}

/// A PCI address within the guest. `bus` is the index of a PCI controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PciAddress {
    /// The address; nothing said means that `complete` chooses it.
    pub address: Option<passthru_pci::Address>,
    /// Whether the slot has more functions than the first.
    pub multifunction: Option<bool>,
}

/// An address on a disk controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DriveAddress {
    /// Index of the controller.
    pub controller: Option<u32>,
    /// Bus of the controller.
    pub bus: Option<u32>,
    /// Target of the bus.
    pub target: Option<u32>,
    /// Unit of the target.
    pub unit: Option<u32>,
}

impl Address {
    /// Returns the kind.
    pub const fn kind(&self) -> AddressType {
        match self {
            Self::Pci(_) => AddressType::Pci,
            Self::Drive(_) => AddressType::Drive,
            Self::VirtioMmio => AddressType::VirtioMmio,
        }
    }

    /// Returns the PCI address, where it is one and it is known.
    pub fn pci(&self) -> Option<passthru_pci::Address> {
        match self {
            Self::Pci(pci) => pci.address,
            _ => None,
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Pci(PciAddress::default())
    }
}

impl Element for Address {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let mut kind = self.kind();
        v.required("type", &mut kind);
        if v.reading() {
            *self = match kind {
                AddressType::Pci => Self::Pci(PciAddress::default()),
                AddressType::Drive => Self::Drive(DriveAddress::default()),
                AddressType::VirtioMmio => Self::VirtioMmio,
            };
        }
        match self {
            Self::Pci(pci) => pci.visit(v),
            Self::Drive(drive) => drive.visit(v),
            Self::VirtioMmio => {}
        }
    }
}

impl PciAddress {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        visit_pci(&mut self.address, v);
        v.on_off("multifunction", &mut self.multifunction);
    }
}

/// Visits `domain`, `bus`, `slot` and `function`: those that are left out are zero, and all left out is
/// no address. Returns whether any is there.
pub(crate) fn visit_pci<V: Visitor>(slot: &mut Option<passthru_pci::Address>, v: &mut V) -> bool {
    let mut domain = slot.map(|a| Hex::<u32, 4>(a.domain));
    let mut bus = slot.map(|a| Hex::<u8, 2>(a.bus));
    let mut device = slot.map(|a| Hex::<u8, 2>(a.slot));
    let mut function = slot.map(|a| Hex::<u8, 1>(a.function));
    v.attr("domain", &mut domain);
    v.attr("bus", &mut bus);
    v.attr("slot", &mut device);
    v.attr("function", &mut function);
    let is_said = (domain, bus, device, function) != (None, None, None, None);
    if !v.reading() || !is_said {
        return is_said;
    }
    let (domain, bus) = (domain.map_or(0, |n| n.0), bus.map_or(0, |n| n.0));
    let (device, function) = (device.map_or(0, |n| n.0), function.map_or(0, |n| n.0));
    *slot = passthru_pci::Address::new(domain, bus, device, function);
    if slot.is_none() {
        v.error(format!("slot 0x{device:x} is above 0x1f, or function 0x{function:x} above 7"));
    }
    is_said
}

impl DriveAddress {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("controller", &mut self.controller);
        v.attr("bus", &mut self.bus);
        v.attr("target", &mut self.target);
        v.attr("unit", &mut self.unit);
    }
}
