//! [`Attached`]: a device that reaches the memory that its [`Target`] maps.

use std::sync::Arc;

use passthru_iommufd::BoundDevice;

use crate::Failed;
use crate::device::attachment::{Attachment, PasidAttachment};
use crate::device::{Bound, Device, Error, Target};

/// A device that is bound to an iommufd and attached. Dropping it detaches the device, also where
/// other handles of it live on; a failure of that is logged, and [`Attached::detach`] gives it.
#[derive(Debug)]
pub struct Attached {
    attachment: Attachment,
    bound: Bound,
}

impl Bound {
    /// Attaches it to an address space or a page table of the same iommufd: from now on it reaches
    /// the memory that is mapped there (`VFIO_DEVICE_ATTACH_IOMMUFD_PT`). The target lives as long
    /// as the device is attached.
    ///
    /// # Errors
    /// [`Error::Attach`], [`Error::OtherContext`], with the device that is bound still.
    pub fn attach(self, to: impl Into<Target>) -> Result<Attached, Failed<Self, Error>> {
        match Attachment::new(
            self.device().clone(),
            Arc::clone(self.context()),
            None,
            to.into(),
        ) {
            Ok(attachment) => Ok(Attached {
                attachment,
                bound: self,
            }),
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
        Attachment::new(
            self.device().clone(),
            Arc::clone(self.context()),
            Some(pasid),
            to.into(),
        )
        .map(PasidAttachment::new)
    }
}

impl Attached {
    /// Attaches it to another target instead, without a time in between where it reaches nothing.
    ///
    /// # Errors
    /// As [`Bound::attach`]; the former target is in force still. (Linux 7.3's driver of VT-d
    /// blocks the device's DMA before it finds out that it cannot attach it, and leaves it so,
    /// where it has no memory or the page table is for another IOMMU. To detach and attach it
    /// brings it back.)
    pub fn replace(&mut self, by: impl Into<Target>) -> Result<(), Error> {
        self.attachment.replace(by.into())
    }

    /// Detaches it (`VFIO_DEVICE_DETACH_IOMMUFD_PT`): its DMA is blocked.
    ///
    /// # Errors
    /// [`Error::Detach`], with the device that is attached still.
    pub fn detach(self) -> Result<Bound, Failed<Self, Error>> {
        let Self {
            mut attachment,
            bound,
        } = self;
        match attachment.detach() {
            Ok(()) => Ok(bound),
            Err(error) => Err(Failed {
                state: Self { attachment, bound },
                error,
            }),
        }
    }

    /// Returns what it is attached to.
    pub fn target(&self) -> Option<Target> {
        self.attachment.target()
    }

    /// Returns the device in the iommufd.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Returns what can be done with the device.
    pub fn device(&self) -> &Device {
        self.bound.device()
    }
}
