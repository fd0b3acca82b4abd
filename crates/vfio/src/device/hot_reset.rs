//! [`HotResetInfo`]: the devices that a hot reset affects.

use passthru_pci::Address;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_HOT_RESET_FLAG_DEV_ID, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
};

use crate::sys;

/// The devices that a hot reset affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotResetInfo {
    /// The affected devices, including the queried one.
    pub devices: Vec<AffectedDevice>,
    /// `Some(true)` if all of the devices belong to the iommufd of the queried one. The reset then
    /// needs no proof (`VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED`).
    ///
    /// `None` if the device was opened through its group. The reset then takes the files of all
    /// groups.
    pub owned: Option<bool>,
}

/// A device that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffectedDevice {
    /// PCI address of the device.
    pub address: Address,
    /// Owner of the device.
    pub owner: HotResetOwner,
}

/// Owner of a device that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotResetOwner {
    /// The owner of this IOMMU group.
    Group(u32),
    /// The iommufd of the queried device. The number is the device's id there.
    Bound(u32),
    /// The iommufd of the queried device, since other devices of the group are bound to it
    /// (`VFIO_PCI_DEVID_OWNED`).
    Owned,
    /// Someone else, or no one (`VFIO_PCI_DEVID_NOT_OWNED`).
    NotOwned,
}

impl HotResetInfo {
    pub(super) fn new(flags: u32, devices: &[sys::device::Dependent]) -> Self {
        let by_id = flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0;
        Self {
            devices: devices
                .iter()
                .map(|device| AffectedDevice::new(device, by_id))
                .collect(),
            owned: by_id.then_some(flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0),
        }
    }
}

impl AffectedDevice {
    fn new(raw: &sys::device::Dependent, by_id: bool) -> Self {
        let address = Address {
            domain: raw.segment.into(),
            bus: raw.bus,
            slot: raw.devfn >> 3,
            function: raw.devfn & 7,
        };
        let owner = match raw.id {
            group if !by_id => HotResetOwner::Group(group),
            0 => HotResetOwner::Owned,
            u32::MAX => HotResetOwner::NotOwned,
            id => HotResetOwner::Bound(id),
        };
        Self { address, owner }
    }
}
