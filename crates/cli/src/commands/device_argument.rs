//! Arguments that name devices.

use passthru_host::parse_device;
use passthru_pci::{Address, ParseAddressError};

/// Parses an argument that names a device: a PCI address, or libvirt's name of a node device.
pub(super) fn device_argument(text: &str) -> Result<Address, ParseAddressError> {
    parse_device(text)
}
