//! [`Vdevice`]: a device as a guest knows it behind a virtual IOMMU.

use std::any::Any;
use std::sync::Arc;

use crate::device::same_context;
use crate::object::Object;
use crate::viommu::Viommu;
use crate::{BoundDevice, Error, sys};

/// A device behind a virtual IOMMU (vDevice), under the guest's number for it. It keeps both, the
/// device bound (its file open), since the kernel never gives the id back of one whose device went
/// first. It is destroyed on drop. A failure of that is logged, and [`Vdevice::close`] gives it.
#[derive(Debug)]
pub struct Vdevice {
    object: Object,
    virt_id: u64,
    // The device goes before what it may be attached to.
    _device: Arc<dyn Any + Send + Sync>,
    viommu: Arc<Viommu>,
}

impl Vdevice {
    /// Puts a device behind a virtual IOMMU (`IOMMU_VDEVICE_ALLOC`), once at a time. `virt_id` is
    /// what the guest's commands and events name it by, as the stream id of an SMMUv3.
    ///
    /// # Errors
    /// [`Error::VdeviceAlloc`]; [`Error::OtherContext`].
    pub fn alloc(
        viommu: &Arc<Viommu>,
        device: &dyn BoundDevice,
        virt_id: u64,
    ) -> Result<Self, Error> {
        same_context(
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

    /// Returns what the guest names it by.
    pub fn virt_id(&self) -> u64 {
        self.virt_id
    }

    /// Returns the virtual IOMMU that it is behind.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Destroys it (`IOMMU_DESTROY`); the device stays.
    ///
    /// # Errors
    /// [`Error::Destroy`].
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}
