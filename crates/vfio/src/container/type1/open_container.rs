//! [`OpenContainer`]: the open file of a container, with the groups that are in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio::VFIO_TYPE1v2_IOMMU;

use super::{Group, Type1Info};
use crate::container::discards::Pins;
use crate::container::kvm::Registration;
use crate::container::{Error, KvmVfio};
use crate::sys;

/// Default of the module parameter `dma_entry_limit`.
const DMA_ENTRY_LIMIT: u32 = u16::MAX as u32;

/// An open `/dev/vfio/vfio`, with the groups that are in it.
#[derive(Debug)]
pub(super) struct OpenContainer {
    fd: OwnedFd,
    kvm: Option<Arc<dyn KvmVfio>>,
    joined: Mutex<Vec<Weak<JoinedGroup>>>,
    /// Largest number of mappings at a time.
    max_mappings: AtomicU32,
}

/// A group in a container, which it leaves when this is dropped. The devices of the group keep it.
/// The fields are dropped in this order.
#[derive(Debug)]
pub(super) struct JoinedGroup {
    _registration: Option<Registration>,
    group: Group,
    /// One more reference for each proof that holds the group's file.
    proofs: Arc<()>,
    /// Pins of the container for this group, named after its first device. A mediated device's
    /// group has none.
    _pins: Option<Pins>,
    _container: Arc<OpenContainer>,
}

/// A group whose file is part of a proof, which keeps the group in its container.
#[derive(Debug)]
pub(in crate::container) struct GroupProof {
    joined: Arc<JoinedGroup>,
    _counted: Arc<()>,
}

impl OpenContainer {
    pub(super) fn new(fd: OwnedFd, kvm: Option<Arc<dyn KvmVfio>>) -> Self {
        Self {
            fd,
            kvm,
            joined: Mutex::default(),
            max_mappings: AtomicU32::new(DMA_ENTRY_LIMIT),
        }
    }

    pub(super) fn max_mappings(&self) -> u32 {
        self.max_mappings.load(Ordering::Relaxed)
    }

    /// Returns the groups that are in the container now.
    pub(super) fn joined(&self) -> Vec<Arc<JoinedGroup>> {
        let joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.iter().filter_map(Weak::upgrade).collect()
    }

    /// Adds a group, unless it is in the container already.
    pub(super) fn join(
        self: &Arc<Self>,
        number: u32,
        pins: Option<Pins>,
    ) -> Result<Arc<JoinedGroup>, Error> {
        let mut all = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let present = all
            .iter()
            .filter_map(Weak::upgrade)
            .find(|joined| joined.group.number() == number);
        if let Some(joined) = present {
            return Ok(joined);
        }
        let joined = Arc::new(self.join_new(number, pins)?);
        all.retain(|joined| joined.strong_count() > 0);
        all.push(Arc::downgrade(&joined));
        Ok(joined)
    }

    /// Adds a group. If a step fails, then the group's file is closed, and the group leaves again.
    fn join_new(self: &Arc<Self>, number: u32, pins: Option<Pins>) -> Result<JoinedGroup, Error> {
        let group = Group::open(number)?;
        group.check_viable()?;
        group.set_container(self.fd.as_fd())?;
        self.set_iommu(number)?;
        let registration = Registration::new(self.kvm.as_ref(), group.as_fd())?;
        Ok(JoinedGroup {
            _registration: registration,
            group,
            proofs: Arc::new(()),
            _pins: pins,
            _container: Arc::clone(self),
        })
    }

    /// Sets the IOMMU with the first group (`VFIO_SET_IOMMU`). Uses version 2 of type1, which never
    /// unmaps more than the given range.
    fn set_iommu(&self, group: u32) -> Result<(), Error> {
        let fd = self.fd.as_fd();
        if !matches!(sys::type1::info(fd), Err(Errno::INVAL)) {
            return Ok(());
        }
        sys::type1::set_iommu(fd, VFIO_TYPE1v2_IOMMU).map_err(|e| Error::Join {
            group,
            call: "VFIO_SET_IOMMU",
            source: e.into(),
        })?;
        // Nothing is mapped yet, so the number that is left is the limit.
        let info = sys::type1::info(fd)
            .ok()
            .and_then(|(raw, reply)| Type1Info::parse(&raw, &reply).ok());
        let left = info
            .and_then(|info| info.mappings_left)
            .unwrap_or(DMA_ENTRY_LIMIT);
        self.max_mappings.store(left, Ordering::Relaxed);
        Ok(())
    }
}

impl AsFd for OpenContainer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl JoinedGroup {
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn has_proofs(&self) -> bool {
        Arc::strong_count(&self.proofs) > 1
    }
}

impl GroupProof {
    pub(super) fn new(joined: Arc<JoinedGroup>) -> Self {
        Self {
            _counted: Arc::clone(&joined.proofs),
            joined,
        }
    }

    pub(in crate::container) fn group(&self) -> &Group {
        &self.joined.group
    }
}
