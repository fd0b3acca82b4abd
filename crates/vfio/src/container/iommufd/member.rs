//! [`IommufdMember`]: a device that is attached to an
//! [`IommufdContainer`](super::IommufdContainer).

use super::MemberPasid;
use super::tables::UserGuard;
use crate::Failed;
use crate::container::Error;
use crate::container::discards::Pins;
use crate::container::kvm::Registration;
use crate::device::{Attached, Bound, Target};

/// A device that is attached to a container. The fields are dropped in this order.
#[derive(Debug)]
pub(in crate::container) struct IommufdMember {
    pub(super) attached: Attached,
    pub(super) guard: UserGuard,
    pub(super) _guards: AttachGuards,
}

/// Registrations of an attached device outside of the container. The fields are dropped in this
/// order.
#[derive(Debug)]
pub(super) struct AttachGuards {
    pub(super) _registration: Option<Registration>,
    pub(super) _pins: Option<Pins>,
}

impl IommufdMember {
    pub(in crate::container) fn bound(&self) -> &Bound {
        self.attached.bound()
    }

    pub(in crate::container) fn attach_pasid(
        &self,
        pasid: u32,
        to: Target,
    ) -> Result<MemberPasid, Error> {
        let (attachment, guard) = self.guard.tables().attach_pasid(self.bound(), pasid, to)?;
        Ok(MemberPasid {
            attachment,
            guard: Box::new(guard),
        })
    }

    pub(in crate::container) fn replace(&mut self, by: Option<Target>) -> Result<(), Error> {
        self.guard.replace(&mut self.attached, by)
    }

    pub(in crate::container) fn detach(self) -> Result<Bound, Failed<Box<Self>, Error>> {
        let Self {
            attached,
            guard,
            _guards,
        } = self;
        match attached.detach() {
            Ok(bound) => Ok(bound),
            Err(Failed { state, error }) => {
                let link = Self {
                    attached: state,
                    guard,
                    _guards,
                };
                Err(Failed {
                    state: Box::new(link),
                    error: error.into(),
                })
            }
        }
    }
}
