//! Resets: of the device alone, and of all that share its bus or slot.

use crate::device::{Device, Error};
use crate::sys;
use passthru_pci::Address;
use std::os::fd::{AsFd, BorrowedFd};
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_HOT_RESET_FLAG_DEV_ID, VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
};

/// What a hot reset of a device affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotReset {
    /// The devices, with the one that was asked among them.
    pub devices: Vec<Affected>,
    /// Whether all of them belong to the iommufd of the one that was asked, so that it needs no
    /// proof (`VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED`); nothing for a device that was opened through
    /// its group, which needs the files of all their groups.
    pub owned: Option<bool>,
}

/// A device that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Where it is.
    pub address: Address,
    /// Whose it is.
    pub owner: Owner,
}

/// Whose a device is that a hot reset affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever has this IOMMU group.
    Group(u32),
    /// The iommufd of the device that was asked; the device has this id there.
    Bound(u32),
    /// The same, since others of its group belong to it (`VFIO_PCI_DEVID_OWNED`).
    Owned,
    /// Somebody else, or nobody (`VFIO_PCI_DEVID_NOT_OWNED`).
    NotOwned,
}

impl Device {
    /// Resets it (`VFIO_DEVICE_RESET`). Mappings of its dma-bufs in I/O address spaces are emptied
    /// by that, and the kernel does not fill them again: unmap before, and map after.
    ///
    /// # Errors
    /// [`Error::Reset`], also where the device cannot be reset by itself ([`super::Info::reset`]).
    pub fn reset(&self) -> Result<(), Error> {
        sys::device::reset(self.as_fd()).map_err(|e| Error::Reset {
            device: self.name(),
            source: e.into(),
        })
    }

    /// Asks what a hot reset would affect (`VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`).
    ///
    /// # Errors
    /// [`Error::HotResetInfo`], also where neither its bus nor its slot can be reset.
    pub fn hot_reset_info(&self) -> Result<HotReset, Error> {
        let failed = |e: rustix::io::Errno| Error::HotResetInfo {
            device: self.name(),
            source: e.into(),
        };
        let (flags, devices) = sys::device::hot_reset_info(self.as_fd()).map_err(failed)?;
        let by_id = flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID != 0;
        Ok(HotReset {
            devices: devices
                .iter()
                .map(|device| Affected::new(device, by_id))
                .collect(),
            owned: by_id.then_some(flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0),
        })
    }

    /// Resets its bus or slot (`VFIO_DEVICE_PCI_HOT_RESET`), with all devices there. As proof that
    /// they are the caller's, it takes the open files of all their groups where it was opened
    /// through a group, and none where it was opened by its character device. Of dma-bufs the same
    /// holds as for [`Device::reset`].
    ///
    /// ```no_run
    /// # use passthru_vfio::device::{Device, Error};
    /// # fn with(device: &Device) -> Result<(), Error> {
    /// if device.hot_reset_info()?.owned == Some(true) {
    ///     device.hot_reset(&[])?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::HotReset`].
    pub fn hot_reset(&self, groups: &[BorrowedFd<'_>]) -> Result<(), Error> {
        sys::device::hot_reset(self.as_fd(), groups).map_err(|e| Error::HotReset {
            device: self.name(),
            groups: groups.len(),
            source: e.into(),
        })
    }
}

impl Affected {
    fn new(raw: &sys::device::Dependent, by_id: bool) -> Self {
        let address = Address {
            domain: raw.segment.into(),
            bus: raw.bus,
            slot: raw.devfn >> 3,
            function: raw.devfn & 7,
        };
        let owner = match raw.id {
            group if !by_id => Owner::Group(group),
            0 => Owner::Owned,
            u32::MAX => Owner::NotOwned,
            id => Owner::Bound(id),
        };
        Self { address, owner }
    }
}
