//! [`Type1Member`]: a device in a [`Type1Container`](super::Type1Container).

use std::sync::Arc;

use super::open_container::JoinedGroup;
use crate::Failed;
use crate::container::{Backend, Error};
use crate::device::{Device, Source};

/// A device in a container.
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

    /// Closes the device. It is attached for as long as its file is open, so no other handle may be
    /// there; and its group stays for as long as a proof has its file.
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

/// What type1 cannot do.
pub(in crate::container) fn unsupported(what: &'static str) -> Error {
    Error::Unsupported {
        backend: Backend::Type1,
        what,
    }
}
