//! Addresses of all devices, bus type by bus type.

use super::{pci, usb, virtio};
use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::Devices;
use crate::platform::Machine;

/// Gives an address to every PCI, USB, channel and virtio-mmio device that has none, and adds the
/// controllers that this needs.
///
/// Returns an error for each device that has no possible address.
pub(crate) fn assign(devices: &mut Devices, machine: &Machine) -> Bounded<Error> {
    virtio::assign(devices, machine);
    let mut errors = usb::assign(devices);
    errors.append(pci::assign(devices, machine));
    errors
}
