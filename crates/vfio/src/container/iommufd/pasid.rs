//! [`MemberPasid`]: one PASID of a device, attached by itself.

use super::tables::UserGuard;
use crate::Failed;
use crate::container::Error;
use crate::device::{PasidAttachment, Target};

/// What a device of a container does under one PASID, attached until this is dropped. Where that
/// reaches the container's mappings, it counts with the container's dirty pages. The fields are
/// dropped in this order.
#[derive(Debug)]
pub struct MemberPasid {
    pub(super) attachment: PasidAttachment,
    pub(super) guard: Box<UserGuard>,
}

impl MemberPasid {
    /// Returns the PASID.
    pub fn pasid(&self) -> u32 {
        self.attachment.pasid()
    }

    /// Attaches the PASID to another target instead.
    ///
    /// # Errors
    /// As [`Member::attach_pasid`](crate::container::Member::attach_pasid); the former target is in force
    /// still.
    pub fn replace(&mut self, by: impl Into<Target>) -> Result<(), Error> {
        self.guard.replace_pasid(&mut self.attachment, by.into())
    }

    /// Detaches the PASID (`VFIO_DEVICE_DETACH_PASID`).
    ///
    /// # Errors
    /// The kernel's refusal, with what is attached still.
    pub fn detach(self) -> Result<(), Failed<Self, Error>> {
        let Self { attachment, guard } = self;
        attachment.detach().map_err(
            |Failed {
                 state: attachment,
                 error,
             }| Failed {
                state: Self { attachment, guard },
                error: error.into(),
            },
        )
    }
}
