//! [`Hwpt`]: a page table of an IOMMU, filled by the kernel or by a guest.

use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_DIRTY_TRACKING as DIRTY_TRACKING,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_NEST_PARENT as NEST_PARENT,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_PASID as PASID,
    iommufd_hwpt_alloc_flags_IOMMU_HWPT_FAULT_ID_VALID as FAULT_ID_VALID,
    iommufd_hwpt_get_dirty_bitmap_flags_IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR as NO_CLEAR,
};

use crate::device::check_same_context;
use crate::dirty::read_dirty;
use crate::hwpt_data::HwptData;
use crate::object::Object;
use crate::sys::hwpt::AllocRequest;
use crate::{
    BoundDevice, DirtyRange, Error, FaultQueue, Invalidations, Ioas, Iommufd, Viommu, sys,
};

/// A page table of an IOMMU (HWPT) that devices are attached to (`IOMMU_HWPT_ALLOC`).
///
/// The parent decides who fills the table:
/// - Over an [`Ioas`], the kernel fills the table with the mappings of that I/O address space.
/// - Over a nest parent or a [`Viommu`], the guest fills the table in its own memory. [`HwptData`]
///   locates the table; its output addresses are translated by the parent.
///
/// A page table holds its parent and its fault queue. Drop destroys the table and logs a failure;
/// [`Hwpt::close`] returns the failure.
///
/// ```no_run
/// use passthru_iommufd::{BoundDevice, DirtyRange, Error, Hwpt, HwptOptions, Ioas};
/// use std::sync::Arc;
///
/// /// Returns a bit for each of the 64 pages at `iova` that the device has written to.
/// fn watch(device: &dyn BoundDevice, ioas: &Arc<Ioas>, iova: u64) -> Result<u64, Error> {
///     let options = HwptOptions { dirty_tracking: true, ..HwptOptions::default() };
///     let hwpt = Hwpt::alloc(device, ioas, &options)?;
///     hwpt.set_dirty_tracking(true)?;
///     // Attach the device to the page table, and let it work.
///     let mut bitmap = [0];
///     hwpt.dirty_bitmap(DirtyRange::new(iova, 64 * 4096, 4096), true, &mut bitmap)?;
///     Ok(bitmap[0])
/// }
/// ```
#[derive(Debug)]
pub struct Hwpt {
    object: Object,
    parent: HwptParent,
    fault_queue: Option<Arc<FaultQueue>>,
}

/// Object that a page table is allocated over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HwptParent {
    /// An I/O address space, whose mappings the page table has.
    Ioas(Arc<Ioas>),
    /// A page table that was allocated as a nest parent.
    Hwpt(Arc<Hwpt>),
    /// A virtual IOMMU, and through it a nest parent.
    Viommu(Arc<Viommu>),
}

/// Features of a page table (`enum iommufd_hwpt_alloc_flags`), and the guest's data.
#[derive(Clone, Debug, Default)]
pub struct HwptOptions {
    /// Other page tables can be allocated over this one (`IOMMU_HWPT_ALLOC_NEST_PARENT`).
    pub nest_parent: bool,
    /// The page table can track dirty pages (`IOMMU_HWPT_ALLOC_DIRTY_TRACKING`). A device whose
    /// IOMMU cannot track dirty pages can then not be attached.
    pub dirty_tracking: bool,
    /// The page table can be attached to PASIDs of a device (`IOMMU_HWPT_ALLOC_PASID`).
    pub pasid: bool,
    /// Queue for page faults, which the program answers (`IOMMU_HWPT_FAULT_ID_VALID`).
    ///
    /// `None`: an access without a mapping fails at once. A nest parent cannot have a queue.
    pub fault_queue: Option<Arc<FaultQueue>>,
    /// Location of a guest's page table; `None` for a table that the kernel fills.
    pub data: Option<HwptData>,
}

impl Hwpt {
    /// Allocates a page table in the format of a device's IOMMU (`IOMMU_HWPT_ALLOC`).
    ///
    /// The page table may outlive the device. Other devices behind the same IOMMU can be attached
    /// too.
    ///
    /// # Errors
    /// - [`Error::OtherContext`]: if device, parent and fault queue do not belong to one context.
    ///
    /// [`Error::HwptAlloc`]:
    /// - If the IOMMU or its driver lacks an option, `EOPNOTSUPP`.
    /// - If the parent cannot be a parent of this table, or the guest's data are malformed,
    ///   `EINVAL`.
    /// - If the device is no longer bound to its context, `ENOENT`.
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
        let context = Arc::clone(parent.context());
        let parent_id = parent.id();
        check_same_context((device.context(), device.id()), (&context, parent_id))?;
        let fault_queue = options.fault_queue.clone();
        if let Some(queue) = &fault_queue {
            check_same_context((queue.context(), queue.id()), (&context, parent_id))?;
        }
        let data = options.data.as_ref().map(HwptData::encode);
        let (data_type, data) = data.unwrap_or_default();
        let request = AllocRequest {
            device: device.id(),
            parent: parent_id,
            flags: options.flags(),
            fault_queue: fault_queue.as_ref().map_or(0, |queue| queue.id()),
            data_type,
            data: &data,
        };
        let id = sys::hwpt::alloc(parent.object().fd(), request).map_err(|e| Error::HwptAlloc {
            device: request.device,
            parent: request.parent,
            flags: request.flags,
            data_type: request.data_type,
            source: e.into(),
        })?;
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

    /// Returns the context that the page table belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Returns the object that the page table was allocated over.
    pub fn parent(&self) -> &HwptParent {
        &self.parent
    }

    /// Returns the I/O address space at the root of the page table's parents.
    pub fn ioas(&self) -> &Arc<Ioas> {
        match &self.parent {
            HwptParent::Ioas(ioas) => ioas,
            HwptParent::Hwpt(hwpt) => hwpt.ioas(),
            HwptParent::Viommu(viommu) => viommu.hwpt().ioas(),
        }
    }

    /// Returns the queue that page faults go to, or `None` if accesses without a mapping fail.
    pub fn fault_queue(&self) -> Option<&Arc<FaultQueue>> {
        self.fault_queue.as_ref()
    }

    /// Starts or stops tracking of pages that devices write to (`IOMMU_HWPT_SET_DIRTY_TRACKING`).
    ///
    /// Tracking starts with all pages clean.
    ///
    /// # Errors
    /// [`Error::DirtyTracking`]:
    /// - If the table was allocated without [`HwptOptions::dirty_tracking`], `EOPNOTSUPP`.
    /// - If a guest fills the table, `ENOENT`: track on its nest parent.
    pub fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let hwpt = self.id();
        sys::hwpt::set_dirty_tracking(self.object.fd(), hwpt, on).map_err(|e| {
            Error::DirtyTracking {
                hwpt,
                on,
                source: e.into(),
            }
        })
    }

    /// Adds the dirty pages of one mapping to `bitmap` (`IOMMU_HWPT_GET_DIRTY_BITMAP`).
    ///
    /// Bit `i % 64` of word `i / 64` stands for the page at `iova + i * page_size`. Bits are only
    /// set, never cleared. `page_size` is a power of two. `iova` and `length` are multiples of
    /// `page_size` and of [`IovaRanges::alignment`](crate::IovaRanges::alignment).
    ///
    /// With `clear`, the pages count as clean afterwards. Without `clear`, they stay dirty
    /// (`IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR`). That is cheaper, and fits memory that is unmapped
    /// next.
    ///
    /// Read one mapping per call, and the whole of it:
    /// - If the range spans a gap between mappings, the kernel stops at the gap and reports
    ///   success.
    /// - If the range cuts a huge page, `clear` cleans the whole huge page, but only bits within
    ///   the range are set.
    ///
    /// # Errors
    /// [`Error::DirtyBitmap`]:
    /// - If `bitmap` has too few bits, or a number is not aligned as above, `EINVAL`.
    /// - If the table was allocated without [`HwptOptions::dirty_tracking`], `EOPNOTSUPP`.
    /// - If a guest fills the table, `ENOENT`: read its nest parent.
    pub fn dirty_bitmap(
        &self,
        range: DirtyRange,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        let flags = if clear { 0 } else { NO_CLEAR };
        read_dirty(&self.object, range, flags, bitmap).map_err(|e| Error::DirtyBitmap {
            hwpt: self.id(),
            iova: range.iova,
            length: range.length,
            page_size: range.page_size,
            words: bitmap.len(),
            source: e.into(),
        })
    }

    /// Drops a guest's changes from the caches of the IOMMU, in one call (`IOMMU_HWPT_INVALIDATE`).
    ///
    /// # Errors
    /// [`Error::Invalidate`], with the number of entries handled before the failure:
    /// - If the IOMMU does not define the type, or an entry is malformed, `EINVAL` or `EOPNOTSUPP`.
    /// - If the kernel does not forward a command of an SMMUv3, `EIO`.
    pub fn invalidate(&self, invalidations: Invalidations<'_>) -> Result<(), Error> {
        invalidations.apply(&self.object)
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Destroys the page table (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if a device is attached, or another object was allocated over this
    ///   table, `EBUSY`. The table then lasts until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }
}

impl HwptOptions {
    fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.nest_parent {
            flags |= NEST_PARENT;
        }
        if self.dirty_tracking {
            flags |= DIRTY_TRACKING;
        }
        if self.fault_queue.is_some() {
            flags |= FAULT_ID_VALID;
        }
        if self.pasid {
            flags |= PASID;
        }
        flags
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

    /// Returns the kernel's id of the parent.
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
