//! The request for a device.

use passthru_pci::Address;

/// A request for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Address of the device.
    pub address: Address,
    /// Whether the device is bound now and given back later (libvirt's `managed='yes'`).
    ///
    /// An unmanaged device has to be on a VFIO driver already, and stays there.
    pub managed: bool,
    /// Driver to bind the device to; `None` for [`Host::vfio_driver`](crate::Host::vfio_driver).
    pub driver: Option<String>,
    /// Whether the caller was handed the open node of the device.
    ///
    /// The caller and this process then have the device open. So neither processes that have it
    /// open nor hidden processes are an objection.
    pub handed_in: bool,
}

impl Request {
    /// Requests a device that is bound now and given back later.
    pub fn managed(address: Address) -> Self {
        Self {
            address,
            managed: true,
            driver: None,
            handed_in: false,
        }
    }

    /// Requests a device that is on a VFIO driver already.
    pub fn unmanaged(address: Address) -> Self {
        Self {
            managed: false,
            ..Self::managed(address)
        }
    }
}
