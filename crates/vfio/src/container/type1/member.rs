//! [`Type1Member`]: a device that is attached to a [`Type1Container`](super::Type1Container).

use std::sync::Arc;

use super::open_container::JoinedGroup;
use crate::Failed;
use crate::container::{Backend, Error};
use crate::device::{Device, Source};

/// A device that is attached to a container.
#[derive(Debug)]
pub(in crate::container) struct Type1Member {
    device: Device,
    joined: Arc<JoinedGroup>,
}

impl Type1Member {
    pub(super) fn new(device: Device, joined: Arc<JoinedGroup>) -> Self {
        Self { device, joined }
    }

    pub(in crate::container) fn device(&self) -> &Device {
        &self.device
    }

    /// Closes the device.
    ///
    /// The device stays attached while its file is open, and its group while a proof holds the
    /// group's file. If such a handle or proof exists, then this fails with [`Error::InUse`].
    pub(in crate::container) fn detach(self) -> Result<Source, Failed<Self, Error>> {
        if self.device.is_shared() || self.joined.has_proofs() {
            let device = self.device.name();
            return Err(Failed {
                state: self,
                error: Error::InUse { device },
            });
        }

        Ok(Source::Sysfs(self.device.location().sysfs().into()))
    }
}

/// Returns the error for an operation that type1 does not have.
pub(in crate::container) fn unsupported(operation: &'static str) -> Error {
    Error::Unsupported {
        backend: Backend::Type1,
        operation,
    }
}
