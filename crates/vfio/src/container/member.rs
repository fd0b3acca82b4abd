//! [`Member`]: a device of a container.

use passthru_iommufd::BoundDevice;

use super::{Candidate, Error, MemberPasid, iommufd, type1};
use crate::Failed;
use crate::device::{Device, Target};

/// A device that reaches what is mapped in its container. It keeps the container in the kernel.
/// Dropping it detaches the device; [`Member::detach`] gives the error.
#[derive(Debug)]
pub struct Member(pub(super) MemberBackend);

/// By which backend a device is attached.
#[derive(Debug)]
pub(super) enum MemberBackend {
    Iommufd(Box<iommufd::IommufdMember>),
    Type1(type1::Type1Member),
}

impl Member {
    /// Returns what can be done with the device. With type1 the device stays attached for as long
    /// as any handle of it is there, its mappings of BARs included.
    pub fn device(&self) -> &Device {
        match &self.0 {
            MemberBackend::Iommufd(link) => link.bound().device(),
            MemberBackend::Type1(link) => link.device(),
        }
    }

    /// Returns the device in the iommufd, for page tables and virtual IOMMUs; nothing with type1.
    pub fn bound(&self) -> Option<&dyn BoundDevice> {
        match &self.0 {
            MemberBackend::Iommufd(link) => Some(link.bound()),
            MemberBackend::Type1(_) => None,
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
            MemberBackend::Iommufd(link) => link.replace(by),
            MemberBackend::Type1(_) => Err(type1::unsupported(
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
            MemberBackend::Iommufd(link) => link.attach_pasid(pasid, to.into()),
            MemberBackend::Type1(_) => Err(type1::unsupported("attach a PASID")),
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
            MemberBackend::Iommufd(link) => match link.detach() {
                Ok(bound) => Ok(Candidate::Bound(bound)),
                Err(Failed { state, error }) => Err(Failed {
                    state: Self(MemberBackend::Iommufd(state)),
                    error,
                }),
            },
            MemberBackend::Type1(link) => match link.detach() {
                Ok(source) => Ok(Candidate::Source(source)),
                Err(Failed { state, error }) => Err(Failed {
                    state: Self(MemberBackend::Type1(state)),
                    error,
                }),
            },
        }
    }
}
