//! [`MemberPasid`]: an attached PASID of a device.

use super::tables::UserGuard;
use crate::Failed;
use crate::container::Error;
use crate::device::{PasidAttachment, Target};

/// A PASID of a device, attached until this is dropped.
///
/// If its target is over the container's mappings, then the target is included in the container's
/// dirty tracking. The fields are dropped in this order.
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
    /// As for [`Member::attach_pasid`](crate::container::Member::attach_pasid). The former target
    /// stays attached.
    pub fn replace(&mut self, by: impl Into<Target>) -> Result<(), Error> {
        self.guard.replace_pasid(&mut self.attachment, by.into())
    }

    /// Detaches the PASID (`VFIO_DEVICE_DETACH_PASID`).
    ///
    /// # Errors
    /// The kernel's refusal. The PASID comes back, still attached.
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
