//! [`HwQueue`]: a queue in a guest's memory that the hardware reads by itself.

use std::sync::Arc;

use iommufd_bindings::iommufd::iommu_hw_queue_type_IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV as TEGRA241_CMDQV;

use crate::object::Object;
use crate::viommu::Viommu;
use crate::{Error, sys};

/// A queue that the hardware of a virtual IOMMU reads by itself from the guest's memory (HW queue).
/// It is destroyed on drop, with a failure logged; [`HwQueue::close`] gives it.
///
/// The kernel pins the memory, and locks its mappings, until the queue is destroyed: to unmap one
/// of them is refused (`EBUSY`), and a [`Mapping`](crate::Mapping) that is dropped meanwhile keeps
/// its memory for ever. So the hardware never reads what has become somebody else's, whatever goes
/// first; for the memory to be freed, the queue goes first.
#[derive(Debug)]
pub struct HwQueue {
    object: Object,
    /// What must not go first.
    _after: Option<Arc<HwQueue>>,
    viommu: Arc<Viommu>,
}

/// A kind of hardware queue (`enum iommu_hw_queue_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwQueueKind {
    /// A virtual command queue (VCMDQ) of a NVIDIA Tegra241. Queues are made in the order of their
    /// index, each after the one before; `iova` is a multiple of `length`, a power of two.
    Tegra241Cmdqv,
    /// A kind that this crate does not know, by its number.
    Raw(u32),
}

impl HwQueue {
    /// Makes `length` bytes of memory, at `iova` of the virtual IOMMU's nest parent, its queue
    /// number `index` of a kind (`IOMMU_HW_QUEUE_ALLOC`). The pages must lie side by side in the
    /// host's memory. `after` is the queue before it, where the hardware wants it to be destroyed
    /// later; it is kept.
    ///
    /// # Errors
    /// [`Error::HwQueueAlloc`].
    pub fn alloc(
        viommu: &Arc<Viommu>,
        kind: HwQueueKind,
        index: u32,
        iova: u64,
        length: u64,
        after: Option<&Arc<HwQueue>>,
    ) -> Result<Self, Error> {
        let type_ = kind.number();
        let queue = sys::viommu::Queue {
            type_,
            index,
            iova,
            length,
        };
        let id =
            sys::viommu::hw_queue_alloc(viommu.object().fd(), viommu.id(), queue).map_err(|e| {
                let (viommu, queue_type) = (viommu.id(), type_);
                Error::HwQueueAlloc {
                    viommu,
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

    /// Returns the virtual IOMMU that it belongs to.
    pub fn viommu(&self) -> &Arc<Viommu> {
        &self.viommu
    }

    /// Destroys it (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`] where another queue needs it still: it then stays in the kernel until the
    /// context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}

impl HwQueueKind {
    fn number(self) -> u32 {
        match self {
            Self::Tegra241Cmdqv => TEGRA241_CMDQV,
            Self::Raw(number) => number,
        }
    }
}
