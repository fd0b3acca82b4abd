//! Resets: of the device alone, and of all that share its bus or slot.

use passthru_pci::Address;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_HOT_RESET_FLAG_DEV_ID, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
};

use crate::sys;

/// What a hot reset of a device affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotResetInfo {
    /// The devices, with the one that was asked among them.
    pub devices: Vec<AffectedDevice>,
    /// Whether all of them belong to the iommufd of the one that was asked, so that it needs no
    /// proof (`VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED`); nothing for a device that was opened through
    /// its group, which needs the files of all their groups.
    pub owned: Option<bool>,
}

/// A device that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffectedDevice {
    /// Where it is.
    pub address: Address,
    /// Whose it is.
    pub owner: HotResetOwner,
}

/// Whose a device is that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotResetOwner {
    /// Whoever has this IOMMU group.
    Group(u32),
    /// The iommufd of the device that was asked; the device has this id there.
    Bound(u32),
    /// The same, since others of its group belong to it (`VFIO_PCI_DEVID_OWNED`).
    Owned,
    /// Somebody else, or nobody (`VFIO_PCI_DEVID_NOT_OWNED`).
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
