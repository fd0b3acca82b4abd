//! [`Bound`]: a device that belongs to an iommufd, and reaches no memory.

use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

use passthru_iommufd::{BoundDevice, Iommufd};

use crate::Failed;
use crate::device::{Cdev, Device, Error};
use crate::sys;

/// A device that is bound to an iommufd.
///
/// It can be queried, reset and programmed, but its DMA is blocked until it is
/// [attached](Bound::attach). The binding ends with the last handle of the device.
#[derive(Debug)]
pub struct Bound {
    device: Device,
    context: Arc<Iommufd>,
    id: u32,
}

impl Cdev {
    /// Binds the device to an iommufd (`VFIO_DEVICE_BIND_IOMMUFD`).
    ///
    /// The token is a UUID of 16 bytes. It is shared by the users of a physical function and of its
    /// virtual functions, if all of them are on vfio-pci:
    /// - A virtual function needs the token of its physical function. That one got it by
    ///   [`Device::set_vf_token`] or by a bind with it.
    /// - A physical function needs the token while one of its virtual functions is open.
    /// - Other devices refuse a token.
    ///
    /// # Errors
    /// [`Error::Bind`]. The unbound device comes back, and can still be bound.
    pub fn bind(
        self,
        to: &Arc<Iommufd>,
        token: Option<[u8; 16]>,
    ) -> Result<Bound, Failed<Self, Error>> {
        match sys::device::bind(self.as_fd(), to.as_fd(), token.as_ref()) {
            Ok(id) => {
                let (fd, location) = self.into_parts();
                let context = Arc::clone(to);
                let device = Device::new(fd, location, Arc::clone(to) as _);
                Ok(Bound {
                    device,
                    context,
                    id,
                })
            }
            Err(e) => {
                let device = self.location().name();
                let error = Error::Bind {
                    device,
                    token: token.is_some(),
                    source: e.into(),
                };
                Err(Failed { state: self, error })
            }
        }
    }
}

impl Bound {
    /// Returns another handle of the device, to query it and to allocate page tables for it.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            device: self.device.clone(),
            context: Arc::clone(&self.context),
            id: self.id,
        }
    }

    /// Returns the device, for access to its regions, interrupts and resets.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl BoundDevice for Bound {
    fn context(&self) -> &Arc<Iommufd> {
        &self.context
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn binding(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.device.clone())
    }
}
