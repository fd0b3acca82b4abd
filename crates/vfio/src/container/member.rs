//! [`Member`]: a device that is attached to a container.

use passthru_iommufd::BoundDevice;

use super::{Candidate, Error, MemberPasid, iommufd, type1};
use crate::Failed;
use crate::device::{Device, Target};

/// A device that is attached to a container. It keeps the container open in the kernel.
///
/// Drop detaches the device and logs a failure; [`Member::detach`] returns the failure.
#[derive(Debug)]
pub struct Member(pub(super) MemberBackend);

/// Attached device of one of the backends.
#[derive(Debug)]
pub(super) enum MemberBackend {
    Iommufd(Box<iommufd::IommufdMember>),
    Type1(type1::Type1Member),
}

impl Member {
    /// Returns the device, for access to its regions, interrupts and resets.
    ///
    /// With type1 the device stays attached while any handle of it exists, which includes mappings
    /// of its BARs.
    pub fn device(&self) -> &Device {
        match &self.0 {
            MemberBackend::Iommufd(link) => link.bound().device(),
            MemberBackend::Type1(link) => link.device(),
        }
    }

    /// Returns the device's object in the iommufd, for page tables and virtual IOMMUs; `None` with
    /// type1.
    pub fn bound(&self) -> Option<&dyn BoundDevice> {
        match &self.0 {
            MemberBackend::Iommufd(link) => Some(link.bound()),
            MemberBackend::Type1(_) => None,
        }
    }

    /// Attaches the device to another target, or with `None` to the container's own mappings.
    ///
    /// There is no moment in between in which the device reaches nothing.
    ///
    /// # Errors
    /// The former target stays attached, with the exception that
    /// [`Attached::replace`](crate::device::Attached::replace) names.
    /// - [`Error::Unsupported`] with type1.
    /// - [`Error::NoDirtyTracking`] or the kernel's errno, if dirty pages are tracked and the new
    ///   target cannot track them.
    /// - If the kernel refuses, its errno.
    pub fn replace(&mut self, by: Option<Target>) -> Result<(), Error> {
        match &mut self.0 {
            MemberBackend::Iommufd(link) => link.replace(by),
            MemberBackend::Type1(_) => Err(type1::unsupported(
                "attach a device to anything but its own mappings",
            )),
        }
    }

    /// Attaches one PASID of the device, 1 to 2²⁰ - 1, to an address space or page table, until the
    /// returned value is dropped.
    ///
    /// See [`Bound::attach_pasid`](crate::device::Bound::attach_pasid). A target over the
    /// container's mappings is included in its dirty tracking, without a
    /// [`Container::include`](super::Container::include).
    ///
    /// # Errors
    /// - [`Error::Unsupported`] with type1.
    /// - [`Error::NoDirtyTracking`] or the kernel's errno, if dirty pages are tracked and the
    ///   target cannot track them.
    /// - If the kernel refuses, its errno.
    pub fn attach_pasid(&self, pasid: u32, to: impl Into<Target>) -> Result<MemberPasid, Error> {
        match &self.0 {
            MemberBackend::Iommufd(link) => link.attach_pasid(pasid, to.into()),
            MemberBackend::Type1(_) => Err(type1::unsupported("attach a PASID")),
        }
    }

    /// Detaches the device, and returns it as it is then: bound with iommufd, closed with type1.
    ///
    /// A type1 group leaves the container with its last device. The mappings end with the last
    /// group.
    ///
    /// # Errors
    /// The member comes back as it was.
    /// - [`Error::InUse`] with type1, if another handle of the device or a
    ///   [`HotResetProof`](super::HotResetProof) of its group exists.
    /// - If the kernel refuses, its errno.
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
