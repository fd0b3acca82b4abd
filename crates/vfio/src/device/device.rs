//! [`Device`]: what can be done with a device that is open and bound, whichever way that came about.

use crate::device::{Kind, Location, Target};
use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle of an open device; copies of it lead to the same one. The device is closed with the
/// last of them, and with the regions and mappings that came from it; what it belongs to is closed
/// after it.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

/// Fields are dropped in this order: first the device goes, then what it reaches and belongs to.
#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    location: Location,
    targets: Mutex<Targets>,
    _parents: Arc<dyn Any + Send + Sync>,
}

/// What is attached to what: the device itself (`None`), and PASIDs of it.
pub(super) type Targets = BTreeMap<Option<u32>, Target>;

impl Device {
    /// Takes an open device, with what must outlive it in the kernel: the iommufd, or the group and
    /// container.
    pub(crate) fn new(
        fd: OwnedFd,
        location: Location,
        parents: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self(Arc::new(Inner {
            fd,
            location,
            targets: Mutex::default(),
            _parents: parents,
        }))
    }

    /// Returns where it stands in sysfs.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Returns its name, as `0000:01:00.0`.
    pub fn name(&self) -> String {
        self.0.location.name()
    }

    /// Whether it is a mediated device, whose DMA goes to pages that its driver pins when it needs
    /// them. So memory of a guest may be discarded beside it, which other devices' attached address
    /// spaces forbid: see [`Discards`](crate::container::Discards).
    pub fn is_mdev(&self) -> bool {
        self.0.location.kind() == Kind::Mdev
    }

    /// Whether there are other handles of it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Returns what it is attached to, and under which PASIDs, to look at or to change.
    pub(super) fn targets(&self) -> MutexGuard<'_, Targets> {
        self.0
            .targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
