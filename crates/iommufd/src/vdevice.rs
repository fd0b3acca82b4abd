//! [`Vdevice`]: a device behind a virtual IOMMU.

use std::any::Any;
use std::sync::Arc;

use crate::device::check_same_context;
use crate::object::Object;
use crate::viommu::Viommu;
use crate::{BoundDevice, Error, sys};

/// A device behind a virtual IOMMU (vDEVICE), under the guest's id for it (`IOMMU_VDEVICE_ALLOC`).
///
/// A `Vdevice` holds the virtual IOMMU, and keeps the device bound through
/// [`BoundDevice::binding`]. (If the device were unbound first, the kernel would never reuse the id
/// of the vDEVICE.)
///
/// Drop destroys the vDEVICE and logs a failure; [`Vdevice::close`] returns the failure.
#[derive(Debug)]
pub struct Vdevice {
    object: Object,
    virt_id: u64,
    // Dropped before `viommu`: the device may be attached to a page table over it.
    _device: Arc<dyn Any + Send + Sync>,
    viommu: Arc<Viommu>,
}

impl Vdevice {
    /// Puts a device behind a virtual IOMMU (`IOMMU_VDEVICE_ALLOC`).
    ///
    /// `virt_id` is the guest's id for the device, such as its stream id at an SMMUv3. Commands and
    /// events of the guest carry this id.
    ///
    /// # Errors
    /// - [`Error::OtherContext`]: if device and virtual IOMMU do not belong to one context.
    ///
    /// [`Error::VdeviceAlloc`]:
    /// - If the device is behind a virtual IOMMU already, or `virt_id` is taken, `EEXIST`.
    /// - If the device is not behind the physical IOMMU of this virtual IOMMU, `EINVAL`.
    /// - If the device is no longer bound to its context, `ENOENT`.
    pub fn alloc(
        viommu: &Arc<Viommu>,
        device: &dyn BoundDevice,
        virt_id: u64,
    ) -> Result<Self, Error> {
        check_same_context(
            (device.context(), device.id()),
            (viommu.context(), viommu.id()),
        )?;
        let id =
            sys::viommu::vdevice_alloc(viommu.object().fd(), viommu.id(), device.id(), virt_id)
                .map_err(|e| Error::VdeviceAlloc {
                    viommu: viommu.id(),
                    device: device.id(),
                    virt_id,
                    source: e.into(),
                })?;
        let object = Object::new(Arc::clone(viommu.context()), id);
        Ok(Self {
            object,
            virt_id,
            _device: device.binding(),
            viommu: Arc::clone(viommu),
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    /// Returns the guest's id for the device.
    pub fn virt_id(&self) -> u64 {
        self.virt_id
    }

    /// Returns the virtual IOMMU that the device is behind.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Destroys the vDEVICE (`IOMMU_DESTROY`). The device stays bound and attached.
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if the kernel still uses the vDEVICE, `EBUSY`. It then lasts until the
    ///   context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}
