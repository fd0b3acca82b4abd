//! Addresses of the guest's devices: PCI, USB, channels and virtio-mmio.
//!
//! The rules are libvirt's, so that the same XML gives a guest the same devices at the same
//! addresses:
//! - An address that the user gave stays.
//! - The board's own devices are where the board has them.
//! - Each other device takes the first free slot of the first bus that accepts its kind. The kinds
//!   have a fixed order.
//! - If no slot is free, a bus is added.

mod assign;
mod bus;
mod buses;
pub(crate) mod chipset;
mod pci;
pub(crate) mod pci_address;
pub(crate) mod plug;
mod target;
pub(crate) mod usb;
mod usb2;
pub(crate) mod virtio;
pub(crate) mod zpci;

pub(crate) use assign::assign;
pub(crate) use buses::Buses;
pub(crate) use pci::{mark_multifunction, reserve_all, set_address};
