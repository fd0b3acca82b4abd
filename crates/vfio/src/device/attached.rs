//! [`Attached`]: a device that reaches the memory that its [`Target`] maps.

use std::sync::Arc;

use passthru_iommufd::BoundDevice;

use crate::Failed;
use crate::device::attachment::{Attachment, PasidAttachment};
use crate::device::{Bound, Device, Error, Target};

/// A device that is bound to an iommufd and attached.
///
/// Drop detaches the device, even if other handles of it exist, and logs a failure;
/// [`Attached::detach`] returns the failure.
#[derive(Debug)]
pub struct Attached {
    attachment: Attachment,
    bound: Bound,
}

impl Bound {
    /// Attaches the device to an address space or page table of the same iommufd
    /// (`VFIO_DEVICE_ATTACH_IOMMUFD_PT`).
    ///
    /// From then on, the device reaches the memory that is mapped there. The target lives for as
    /// long as the device is attached.
    ///
    /// # Errors
    /// The device comes back, still bound.
    /// - If the target belongs to another [`Iommufd`](passthru_iommufd::Iommufd),
    ///   [`Error::OtherContext`].
    /// - If the kernel refuses, [`Error::Attach`].
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

    /// Attaches one PASID of the device, 1 to 2²⁰ - 1, to an address space or page table, until the
    /// returned value is dropped (`VFIO_DEVICE_ATTACH_PASID`).
    ///
    /// DMA without this PASID is not affected. The page table is allocated with
    /// [`HwptOptions::pasid`](passthru_iommufd::HwptOptions::pasid), and so is the one that the
    /// device itself is attached to, if any. The kernel does not allocate such tables by itself.
    ///
    /// # Errors
    /// - If the target belongs to another [`Iommufd`](passthru_iommufd::Iommufd),
    ///   [`Error::OtherContext`].
    /// - If the kernel refuses, [`Error::Attach`].
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
    /// Attaches the device to another target, without a moment in between in which it reaches
    /// nothing.
    ///
    /// # Errors
    /// As for [`Bound::attach`]. The former target stays attached, with one exception: the VT-d
    /// driver of Linux 7.3 blocks the device's DMA before it finds that it cannot attach. DMA then
    /// stays blocked if memory runs out, or if the page table is for another IOMMU. Detach and
    /// attach the device to recover.
    pub fn replace(&mut self, by: impl Into<Target>) -> Result<(), Error> {
        self.attachment.replace(by.into())
    }

    /// Detaches the device (`VFIO_DEVICE_DETACH_IOMMUFD_PT`). Its DMA is then blocked.
    ///
    /// # Errors
    /// [`Error::Detach`]. The device comes back, still attached.
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

    /// Returns the target that the device is attached to.
    pub fn target(&self) -> Option<Target> {
        self.attachment.target()
    }

    /// Returns the device's object in the iommufd.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Returns the device, for access to its regions, interrupts and resets.
    pub fn device(&self) -> &Device {
        self.bound.device()
    }
}
