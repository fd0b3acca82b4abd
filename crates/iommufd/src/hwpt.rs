//! [`Hwpt`]: a page table of an IOMMU, as the kernel or a guest fills it.

use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_DIRTY_TRACKING as DIRTY_TRACKING,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_NEST_PARENT as NEST_PARENT,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_PASID as PASID,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_FAULT_ID_VALID as FAULT_ID_VALID,
};
use rustix::io::Errno;

use crate::device::same_context;
use crate::hwpt_data::HwptData;
use crate::object::Object;
use crate::sys::hwpt::Plan;
use crate::{BoundDevice, Error, FaultQueue, Invalidations, Ioas, Iommufd, Viommu, sys};

/// A page table of an IOMMU (HWPT) that devices are attached to. It keeps its parent, and is
/// destroyed on drop; a failure of that is logged, and [`Hwpt::close`] gives it.
///
/// Over an I/O address space, the kernel fills it with the mappings there. Over a page table that
/// was allocated as a nest parent, or over a virtual IOMMU, it is a guest's own, which [`HwptData`]
/// says where to find, and which translates to addresses of the parent.
///
/// ```no_run
/// use passthru_iommufd::{BoundDevice, Error, Hwpt, HwptOptions, Ioas};
/// use std::sync::Arc;
///
/// /// Which of the pages of a mapping, 64 at most, a device has written to.
/// fn watch(device: &dyn BoundDevice, ioas: &Arc<Ioas>, iova: u64, pages: u64) -> Result<u64, Error> {
///     let options = HwptOptions { dirty_tracking: true, ..HwptOptions::default() };
///     let hwpt = Hwpt::alloc(device, ioas, &options)?;
///     hwpt.set_dirty_tracking(true)?;
///     // The device is attached to the page table, and at work.
///     let mut bitmap = [0];
///     hwpt.dirty_bitmap(iova, pages * 4096, 4096, true, &mut bitmap)?;
///     Ok(bitmap[0])
/// }
/// ```
#[derive(Debug)]
pub struct Hwpt {
    object: Object,
    parent: HwptParent,
    fault_queue: Option<Arc<FaultQueue>>,
}

/// What a page table is made over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HwptParent {
    /// An I/O address space, whose mappings it has.
    Ioas(Arc<Ioas>),
    /// A page table that was allocated as a nest parent.
    Hwpt(Arc<Hwpt>),
    /// A virtual IOMMU.
    Viommu(Arc<Viommu>),
}

/// What a page table is to be able to.
#[derive(Clone, Debug, Default)]
pub struct HwptOptions {
    /// Others are to be made over it (`IOMMU_HWPT_ALLOC_NEST_PARENT`).
    pub nest_parent: bool,
    /// It can say which pages were written to (`IOMMU_HWPT_ALLOC_DIRTY_TRACKING`). Devices whose
    /// IOMMU cannot are then refused.
    pub dirty_tracking: bool,
    /// It can be attached to PASIDs of a device (`IOMMU_HWPT_ALLOC_PASID`).
    pub pasid: bool,
    /// Where page faults of devices go, for the program to answer (`IOMMU_HWPT_FAULT_ID_VALID`);
    /// `None` for an IOMMU that lets each access fail that finds no mapping. Not for a nest parent.
    pub fault_queue: Option<Arc<FaultQueue>>,
    /// Where a guest's page table is; `None` for one that the kernel fills.
    pub data: Option<HwptData>,
}

impl Hwpt {
    /// Allocates a page table of the kind that a device's IOMMU has (`IOMMU_HWPT_ALLOC`). The
    /// device need not outlive it, and others behind the same IOMMU can be attached to it.
    ///
    /// # Errors
    /// [`Error::HwptAlloc`]; [`Error::OtherContext`].
    pub fn alloc(
        device: &dyn BoundDevice,
        parent: impl Into<HwptParent>,
        options: &HwptOptions,
    ) -> Result<Self, Error> {
        Self::alloc_over(device, parent.into(), options)
    }

    fn alloc_over(
        device: &dyn BoundDevice,
        parent: HwptParent,
        options: &HwptOptions,
    ) -> Result<Self, Error> {
        let (context, parent_id) = (Arc::clone(parent.context()), parent.id());
        same_context((device.context(), device.id()), (&context, parent_id))?;
        let fault_queue = options.fault_queue.clone();
        if let Some(queue) = &fault_queue {
            same_context((queue.context(), queue.id()), (&context, parent_id))?;
        }
        let (data_type, data) = options
            .data
            .as_ref()
            .map(HwptData::encode)
            .unwrap_or_default();
        let plan = Plan {
            device: device.id(),
            parent: parent_id,
            flags: options.flags(),
            fault_queue: fault_queue.as_ref().map_or(0, |queue| queue.id()),
            data_type,
            data: &data,
        };
        let id = sys::hwpt::alloc(parent.object().fd(), plan).map_err(|e| refused(plan, e))?;
        Ok(Self {
            object: Object::new(context, id),
            parent,
            fault_queue,
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    /// Returns the context that it belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Returns what it is made over.
    pub fn parent(&self) -> &HwptParent {
        &self.parent
    }

    /// Returns the I/O address space that it is made over in the end.
    pub fn ioas(&self) -> &Arc<Ioas> {
        match &self.parent {
            HwptParent::Ioas(ioas) => ioas,
            HwptParent::Hwpt(hwpt) => hwpt.ioas(),
            HwptParent::Viommu(viommu) => viommu.hwpt().ioas(),
        }
    }

    /// Returns where its page faults go.
    pub fn fault_queue(&self) -> Option<&Arc<FaultQueue>> {
        self.fault_queue.as_ref()
    }

    /// Has the IOMMU forget what a guest has changed in its page table, in one call
    /// (`IOMMU_HWPT_INVALIDATE`).
    ///
    /// # Errors
    /// [`Error::Invalidate`] says how many were handled before one was refused.
    pub fn invalidate(&self, invalidations: Invalidations<'_>) -> Result<(), Error> {
        invalidations.apply(&self.object)
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Destroys it (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`] where a device is attached to it still, or something is made over it: it
    /// then stays in the kernel until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}

fn refused(plan: Plan<'_>, errno: Errno) -> Error {
    let Plan {
        device,
        parent,
        flags,
        data_type,
        ..
    } = plan;
    Error::HwptAlloc {
        device,
        parent,
        flags,
        data_type,
        source: errno.into(),
    }
}

impl HwptOptions {
    fn flags(&self) -> u32 {
        let chosen = [
            (self.nest_parent, NEST_PARENT),
            (self.dirty_tracking, DIRTY_TRACKING),
            (self.fault_queue.is_some(), FAULT_ID_VALID),
            (self.pasid, PASID),
        ];
        chosen
            .iter()
            .filter(|(on, _)| *on)
            .fold(0, |flags, (_, flag)| flags | flag)
    }
}

impl HwptParent {
    fn object(&self) -> &Object {
        match self {
            Self::Ioas(ioas) => ioas.object(),
            Self::Hwpt(hwpt) => hwpt.object(),
            Self::Viommu(viommu) => viommu.object(),
        }
    }

    /// Returns the kernel's id of it.
    pub fn id(&self) -> u32 {
        self.object().id()
    }

    fn context(&self) -> &Arc<Iommufd> {
        self.object().context()
    }
}

impl From<&Arc<Ioas>> for HwptParent {
    fn from(ioas: &Arc<Ioas>) -> Self {
        Self::Ioas(Arc::clone(ioas))
    }
}

impl From<&Arc<Hwpt>> for HwptParent {
    fn from(hwpt: &Arc<Hwpt>) -> Self {
        Self::Hwpt(Arc::clone(hwpt))
    }
}

impl From<&Arc<Viommu>> for HwptParent {
    fn from(viommu: &Arc<Viommu>) -> Self {
        Self::Viommu(Arc::clone(viommu))
    }
}
