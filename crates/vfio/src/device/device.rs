//! [`Device`]: what can be done with a device that is open and bound, whichever way that came about.

use crate::device::{Error, Kind, Location, Target};
use crate::sys;
use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use vfio_bindings::bindings::vfio::*;

/// A handle of an open device; copies of it lead to the same one. The device is closed with the last of them, and
/// with the regions and mappings that came from it; what it belongs to is closed after it.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

/// Fields are dropped in this order: first the device goes, then what it reaches and belongs to.
#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    location: Location,
    targets: Mutex<Vec<(Option<u32>, Target)>>,
    _parents: Arc<dyn Any + Send + Sync>,
}

/// What a device says of itself (`VFIO_DEVICE_GET_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Which interface it offers.
    pub bus: Bus,
    /// Whether [`Device::reset`] does something (`VFIO_DEVICE_FLAGS_RESET`).
    pub reset: bool,
    /// How many regions there are: their indexes are below this, though not each may exist.
    pub regions: u32,
    /// How many kinds of interrupts there are, likewise.
    pub irqs: u32,
}

/// Which interface a device offers: what its regions and interrupts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bus {
    /// PCI, also emulated by a mediated device.
    Pci,
    /// Platform device.
    Platform,
    /// AMBA device.
    Amba,
    /// s390 channel device.
    Ccw,
    /// s390 cryptographic adapter.
    Ap,
    /// NXP's fsl-mc bus.
    FslMc,
    /// AMD's CDX bus.
    Cdx,
    /// One that is not known here, by the flags of `struct vfio_device_info`.
    Other(u32),
}

impl Device {
    /// Takes an open device, with what must outlive it in the kernel: the iommufd, or the group and container.
    pub(crate) fn new(fd: OwnedFd, location: Location, parents: Arc<dyn Any + Send + Sync>) -> Self {
        Self(Arc::new(Inner { fd, location, targets: Mutex::default(), _parents: parents }))
    }

    /// Returns where it stands in sysfs.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Returns its name, as `0000:01:00.0`.
    pub fn name(&self) -> String {
        self.0.location.name()
    }

    /// Whether it is a mediated device, whose DMA goes to pages that its driver pins when it needs them. So memory of
    /// a guest may be discarded beside it, which other devices' attached address spaces forbid.
    pub fn is_mdev(&self) -> bool {
        self.0.location.kind() == Kind::Mdev
    }

    /// Whether there are other handles of it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Asks what it is (`VFIO_DEVICE_GET_INFO`).
    ///
    /// # Errors
    /// [`Error::Info`].
    pub fn info(&self) -> Result<Info, Error> {
        let raw = sys::device::info(self.as_fd())
            .map_err(|e| Error::Info { device: self.name(), source: e.into() })?;
        Ok(Info {
            bus: Bus::new(raw.flags),
            reset: raw.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            regions: raw.num_regions,
            irqs: raw.num_irqs,
        })
    }

    /// Returns what it is attached to, or what this PASID is.
    pub(super) fn target(&self, pasid: Option<u32>) -> Option<Target> {
        let targets = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().find(|(of, _)| *of == pasid).map(|(_, target)| target.clone())
    }

    /// Keeps what it is attached to now, and lets go of what it was attached to.
    pub(super) fn set_target(&self, pasid: Option<u32>, to: Option<Target>) {
        let mut targets = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|(of, _)| *of != pasid);
        targets.extend(to.map(|to| (pasid, to)));
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl Bus {
    fn new(flags: u32) -> Self {
        match flags & !(VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_CAPS) {
            VFIO_DEVICE_FLAGS_PCI => Self::Pci,
            VFIO_DEVICE_FLAGS_PLATFORM => Self::Platform,
            VFIO_DEVICE_FLAGS_AMBA => Self::Amba,
            VFIO_DEVICE_FLAGS_CCW => Self::Ccw,
            VFIO_DEVICE_FLAGS_AP => Self::Ap,
            64 => Self::FslMc,
            VFIO_DEVICE_FLAGS_CDX => Self::Cdx,
            other => Self::Other(other),
        }
    }
}
