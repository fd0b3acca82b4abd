//! [`Bound`]: a device that belongs to an iommufd, and reaches no memory.

use crate::Failed;
use crate::device::attached::Attachment;
use crate::device::{Attached, Cdev, Device, Error, PasidAttachment, Target};
use crate::sys;
use passthru_iommufd::{BoundDevice, Iommufd};
use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;

/// A device that is bound to an iommufd. It can be asked, reset and programmed, but its DMA is
/// blocked until it is attached. The binding ends with the last handle of the device.
#[derive(Debug)]
pub struct Bound {
    device: Device,
    context: Arc<Iommufd>,
    id: u32,
}

impl Cdev {
    /// Binds the device to an iommufd (`VFIO_DEVICE_BIND_IOMMUFD`).
    ///
    /// The token is a UUID that those share who have a physical function and its virtual ones,
    /// where all of them are on vfio-pci: a virtual function needs the one that its physical
    /// function has, by [`Device::set_vf_token`] or by having been bound with it; and so does the
    /// physical function itself while virtual ones are open. Others take none.
    ///
    /// # Errors
    /// [`Error::Bind`], with the unbound device, which can be bound still.
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
    /// Attaches it to an address space or a page table of the same iommufd: from now on it reaches
    /// the memory that is mapped there (`VFIO_DEVICE_ATTACH_IOMMUFD_PT`). The target lives as long
    /// as the device is attached.
    ///
    /// # Errors
    /// [`Error::Attach`], [`Error::OtherContext`], with the device that is bound still.
    pub fn attach(self, to: impl Into<Target>) -> Result<Attached, Failed<Self, Error>> {
        match Attachment::new(&self, None, to.into()) {
            Ok(attachment) => Ok(Attached::new(self, attachment)),
            Err(error) => Err(Failed { state: self, error }),
        }
    }

    /// Attaches what the device does under this PASID, 1 to 2²⁰ - 1, to an address space or page
    /// table, until the returned value is dropped (`VFIO_DEVICE_ATTACH_PASID`). The rest of its DMA
    /// is not affected. The page table, and that of the device itself if it is attached, are made
    /// for PASIDs (`HwptOptions::pasid`); the kernel makes none so itself.
    ///
    /// # Errors
    /// [`Error::Attach`], [`Error::OtherContext`].
    pub fn attach_pasid(
        &self,
        pasid: u32,
        to: impl Into<Target>,
    ) -> Result<PasidAttachment, Error> {
        Attachment::new(self, Some(pasid), to.into()).map(PasidAttachment::new)
    }

    /// Returns another handle of it, to ask about the device and to make page tables for it.
    pub(crate) fn again(&self) -> Self {
        Self {
            device: self.device.clone(),
            context: Arc::clone(&self.context),
            id: self.id,
        }
    }

    /// Returns what can be done with the device.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// Page tables and virtual IOMMUs are made for it.
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
