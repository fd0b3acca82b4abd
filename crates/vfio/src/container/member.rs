//! [`Container`]: mappings with the devices that reach them, and [`Member`], one of these devices.

use super::{Discards, Dma, Error, Included, MemberPasid, iommufd, type1};
use crate::Failed;
use crate::device::{Bound, Device, HotReset, Source, Target};
use passthru_iommufd::{BoundDevice, Hwpt};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The base container: mappings, and the devices that reach them.
pub trait Container: Dma {
    /// Opens a device, unless it is bound already, and attaches it: from now on it reaches what is
    /// mapped. type1 opens its group and takes it in, unless another device of the group is a
    /// member.
    ///
    /// # Errors
    /// The step that failed ([`Error::NotViable`] where other devices of the group are in the way);
    /// what was done before is undone, and the device comes back as it is then: one that was bound
    /// meanwhile as [`Candidate::Bound`], an open one as [`Source::Fd`].
    fn attach(&self, device: Candidate, how: Attach) -> Result<Member, Failed<Candidate, Error>>;

    /// Has a page table over this container's address space tell its dirty pages with the others,
    /// for as long as the returned value lives: one that a device is attached to which is not
    /// VFIO's. (Those that [`Container::attach`], [`Member::replace`] and [`Member::attach_pasid`]
    /// take are among them anyway.)
    ///
    /// # Errors
    /// [`Error::OtherTable`]; [`Error::Discarding`]; while dirty pages are tracked, the kernel's
    /// refusal to; [`Error::Unsupported`] without
    /// [`Capabilities::nesting`](super::Capabilities::nesting).
    fn include(&self, table: &Arc<Hwpt>) -> Result<Included, Error>;

    /// Returns what proves that a hot reset is the owner's, as [`Device::hot_reset`] takes it: with
    /// type1 the open files of all affected groups, with iommufd nothing, since the kernel looks
    /// itself whether all affected devices belong to one iommufd.
    ///
    /// ```no_run
    /// # use passthru_vfio::container::{Container, Error, Member};
    /// # fn with(container: &dyn Container, member: &Member) -> Result<(), Error> {
    /// let affected = member.device().hot_reset_info()?;
    /// let proof = container.hot_reset_proof(&affected)?;
    /// member.device().hot_reset(&proof.files())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotOwned`] with the devices that are somebody else's, or nobody's.
    fn hot_reset_proof(&self, affected: &HotReset) -> Result<HotResetProof, Error>;

    /// Returns whether the guest's memory may be discarded beside the devices that are attached,
    /// here and in the other containers of the guest.
    fn discards(&self) -> &Discards;
}

/// A device that is to be attached.
#[derive(Debug)]
pub enum Candidate {
    /// One that is not open yet, or open and not bound.
    Source(Source),
    /// One that is bound to the container's iommufd. type1 has none.
    Bound(Bound),
}

/// How a device is attached.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    /// The token that a virtual function needs where its physical function is assigned, 16 bytes of
    /// a UUID.
    pub token: Option<[u8; 16]>,
    /// What the device reaches, where that is not the container's own mappings: another address
    /// space, or a page table. Without [`Capabilities::nesting`](super::Capabilities::nesting)
    /// there is no choice.
    pub target: Option<Target>,
}

/// A device that reaches what is mapped in its container. It keeps the container in the kernel.
/// Dropping it detaches the device; [`Member::detach`] gives the error.
#[derive(Debug)]
pub struct Member(pub(super) Way);

/// By which backend a device is attached.
#[derive(Debug)]
pub(super) enum Way {
    Iommufd(Box<iommufd::Link>),
    Type1(type1::Link),
}

/// What proves that a hot reset is the owner's. The reset itself is the device's call. With type1
/// it keeps the groups in their container, so it goes before a device of them is detached.
#[derive(Debug, Default)]
pub struct HotResetProof {
    pub(super) groups: Vec<type1::Shown>,
}

impl Member {
    /// Returns what can be done with the device. With type1 the device stays attached for as long
    /// as any handle of it is there, its mappings of BARs included.
    pub fn device(&self) -> &Device {
        match &self.0 {
            Way::Iommufd(link) => link.bound().device(),
            Way::Type1(link) => link.device(),
        }
    }

    /// Returns the device in the iommufd, for page tables and virtual IOMMUs; nothing with type1.
    pub fn bound(&self) -> Option<&dyn BoundDevice> {
        match &self.0 {
            Way::Iommufd(link) => Some(link.bound()),
            Way::Type1(_) => None,
        }
    }

    /// Attaches it to something else, or with `None` to the container's own mappings again, without
    /// a time in between where it reaches nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with type1; else the kernel's refusal. The former target is in force
    /// still, with the exception of [`Attached::replace`](crate::device::Attached::replace).
    pub fn replace(&mut self, by: Option<Target>) -> Result<(), Error> {
        match &mut self.0 {
            Way::Iommufd(link) => link.replace(by),
            Way::Type1(_) => Err(type1::cannot(
                "attach a device to anything but its own mappings",
            )),
        }
    }

    /// Attaches what the device does under this PASID, 1 to 2²⁰ - 1, to an address space or page
    /// table, until the returned value is dropped ([`Bound::attach_pasid`]). Where that is over the
    /// container's mappings, it counts with its dirty pages without more ado: it needs no
    /// [`Container::include`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] with type1; while dirty pages are tracked, that the target does not
    /// tell them; else the kernel's refusal.
    pub fn attach_pasid(&self, pasid: u32, to: impl Into<Target>) -> Result<MemberPasid, Error> {
        match &self.0 {
            Way::Iommufd(link) => link.attach_pasid(pasid, to.into()),
            Way::Type1(_) => Err(type1::cannot("attach a PASID")),
        }
    }

    /// Detaches it, and returns it as it is then: bound with iommufd, closed with type1, where its
    /// group leaves the container with its last device, and the mappings go with the last group.
    ///
    /// # Errors
    /// The kernel's refusal, or with type1 [`Error::InUse`], as while a [`HotResetProof`] has its
    /// group; with the member as it was.
    pub fn detach(self) -> Result<Candidate, Failed<Self, Error>> {
        match self.0 {
            Way::Iommufd(link) => match link.detach() {
                Ok(bound) => Ok(Candidate::Bound(bound)),
                Err(Failed { state, error }) => Err(Failed {
                    state: Self(Way::Iommufd(state)),
                    error,
                }),
            },
            Way::Type1(link) => match link.detach() {
                Ok(source) => Ok(Candidate::Source(source)),
                Err(Failed { state, error }) => Err(Failed {
                    state: Self(Way::Type1(state)),
                    error,
                }),
            },
        }
    }
}

impl HotResetProof {
    /// Returns the files for `VFIO_DEVICE_PCI_HOT_RESET`.
    pub fn files(&self) -> Vec<BorrowedFd<'_>> {
        self.groups
            .iter()
            .map(|shown| shown.group().as_fd())
            .collect()
    }
}

impl From<Source> for Candidate {
    fn from(source: Source) -> Self {
        Self::Source(source)
    }
}

impl From<Bound> for Candidate {
    fn from(bound: Bound) -> Self {
        Self::Bound(bound)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(Source::Fd(_)) => f.write_str("a passed descriptor"),
            Self::Source(Source::Pci(address)) => address.fmt(f),
            Self::Source(Source::Cdev(path) | Source::Sysfs(path)) => path.display().fmt(f),
            Self::Bound(bound) => f.write_str(&bound.device().name()),
        }
    }
}
