//! [`HwQueue`]: a queue in a guest's memory that the IOMMU reads by itself.

use std::sync::Arc;

use iommufd_bindings::iommufd as bindings;

use crate::object::Object;
use crate::viommu::Viommu;
use crate::{Error, sys};

/// A queue in a guest's memory that the hardware of a virtual IOMMU reads by itself (HW queue).
///
/// Until the queue is destroyed, the kernel pins its memory and locks its mappings: unmapping one
/// fails with `EBUSY`. If a [`Mapping`](crate::Mapping) is dropped meanwhile, its memory is never
/// freed, so that the hardware never reads memory with another owner. Destroy the queue first.
///
/// A queue holds the virtual IOMMU. Drop destroys the queue and logs a failure; [`HwQueue::close`]
/// returns the failure.
#[derive(Debug)]
pub struct HwQueue {
    object: Object,
    /// Queue that the hardware requires to be destroyed after this one.
    _after: Option<Arc<HwQueue>>,
    viommu: Arc<Viommu>,
}

/// Type of hardware queue (`enum iommu_hw_queue_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwQueueKind {
    /// Virtual command queue (VCMDQ) of an NVIDIA Tegra241 (`IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV`).
    ///
    /// Allocate queues in the order of their index, each with the one before as `after`. `iova` is
    /// a multiple of `length`, and `length` a power of two.
    Tegra241Cmdqv,
    /// A type that this crate does not name, by its number.
    Raw(u32),
}

impl HwQueue {
    /// Makes `length` bytes at `iova` of the nest parent the queue number `index` of a type
    /// (`IOMMU_HW_QUEUE_ALLOC`).
    ///
    /// The memory must be physically contiguous in the host. `after` is the queue that must outlive
    /// this one, if the hardware requires an order; the new queue holds it.
    ///
    /// # Errors
    /// [`Error::HwQueueAlloc`]:
    /// - If the IOMMU has no queues of this type, `EOPNOTSUPP`.
    /// - If the hardware has no queue `index`, or the memory is a device's, `EINVAL`.
    /// - If `index` is taken, `EEXIST`.
    /// - If the hardware requires another queue first, `EIO`.
    /// - If the memory is not mapped as a whole, `ENOENT`; if devices may not read it, `EPERM`.
    /// - If the memory is not physically contiguous, `EFAULT`.
    pub fn alloc(
        viommu: &Arc<Viommu>,
        kind: HwQueueKind,
        index: u32,
        iova: u64,
        length: u64,
        after: Option<&Arc<HwQueue>>,
    ) -> Result<Self, Error> {
        let queue_type = kind.number();
        let queue = sys::viommu::QueueMemory {
            type_: queue_type,
            index,
            iova,
            length,
        };
        let id =
            sys::viommu::hw_queue_alloc(viommu.object().fd(), viommu.id(), queue).map_err(|e| {
                Error::HwQueueAlloc {
                    viommu: viommu.id(),
                    queue_type,
                    index,
                    iova,
                    length,
                    source: e.into(),
                }
            })?;
        let object = Object::new(Arc::clone(viommu.context()), id);
        Ok(Self {
            object,
            _after: after.cloned(),
            viommu: Arc::clone(viommu),
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    /// Returns the virtual IOMMU that the queue belongs to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Destroys the queue (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if another queue requires this one, `EBUSY`. The queue then lasts
    ///   until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}

impl HwQueueKind {
    fn number(self) -> u32 {
        match self {
            Self::Tegra241Cmdqv => bindings::iommu_hw_queue_type_IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
            Self::Raw(number) => number,
        }
    }
}
