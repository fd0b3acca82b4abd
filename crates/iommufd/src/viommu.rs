//! [`Viommu`]: a slice of a physical IOMMU that belongs to one virtual machine, and what belongs to it.

use std::mem::offset_of;
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_viommu_tegra241_cmdqv, iommu_viommu_type_IOMMU_VIOMMU_TYPE_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_viommu_type_IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV as TEGRA241_CMDQV,
};

use crate::bytes::u64_at;
use crate::device::same_context;
use crate::mmio::{MmapArea, ViommuMmio};
use crate::object::Object;
use crate::{BoundDevice, Error, Hwpt, Invalidations, Iommufd, sys};

/// A virtual IOMMU (vIOMMU): what a virtual machine has of one physical IOMMU, as its own ids of
/// devices, its own cache tags, its own queues. It keeps its nest parent, and is destroyed on drop;
/// a failure of that is logged, and [`Viommu::close`] gives it.
///
/// ```no_run
/// use passthru_iommufd::{
///     BoundDevice, Error, Hwpt, HwptData, HwptOptions, Ioas, Vdevice, Viommu, ViommuKind,
/// };
/// use std::sync::Arc;
///
/// /// Puts a device behind a guest's SMMUv3, with the stream table entry that the guest has for it.
/// fn nest(
///     device: &dyn BoundDevice,
///     guest_memory: &Arc<Ioas>,
///     stream_id: u64,
///     ste: [u64; 2],
/// ) -> Result<(Vdevice, Hwpt), Error> {
///     let nest_parent = HwptOptions { nest_parent: true, ..HwptOptions::default() };
///     let parent = Arc::new(Hwpt::alloc(device, guest_memory, &nest_parent)?);
///     let viommu = Arc::new(Viommu::alloc(device, &parent, &ViommuKind::ArmSmmuv3)?);
///     let vdevice = Vdevice::alloc(&viommu, device, stream_id)?;
///     let data = Some(HwptData::ArmSmmuv3 { ste });
///     let nested = Hwpt::alloc(device, &viommu, &HwptOptions { data, ..HwptOptions::default() })?;
///     // The device is attached to the nested page table next.
///     Ok((vdevice, nested))
/// }
/// ```
#[derive(Debug)]
pub struct Viommu {
    object: Object,
    data: ViommuData,
    hwpt: Arc<Hwpt>,
}

/// A kind of virtual IOMMU (`enum iommu_viommu_type`), which must be that of the physical one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViommuKind {
    /// Arm SMMUv3.
    ArmSmmuv3,
    /// Arm SMMUv3 with the command queues of a NVIDIA Tegra241.
    Tegra241Cmdqv,
    /// A kind that this crate does not know.
    Raw {
        /// The kind's number.
        viommu_type: u32,
        /// The kind's struct; empty for none.
        data: Vec<u8>,
    },
}

/// What the kernel has to say of a virtual IOMMU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViommuData {
    /// Nothing.
    None,
    /// Where page 0 of the virtual interface is, which the guest gets mapped.
    Tegra241Cmdqv {
        /// For [`Viommu::mmap`].
        vintf_page0: MmapArea,
    },
    /// The struct of a kind that this crate does not know, as the kernel left it.
    Raw(Vec<u8>),
}

impl Viommu {
    /// Allocates a virtual IOMMU on the physical one behind a device, over a page table that was
    /// allocated as a nest parent (`IOMMU_VIOMMU_ALLOC`). The device need not outlive it.
    ///
    /// # Errors
    /// [`Error::ViommuAlloc`]; [`Error::OtherContext`].
    pub fn alloc(
        device: &dyn BoundDevice,
        hwpt: &Arc<Hwpt>,
        kind: &ViommuKind,
    ) -> Result<Self, Error> {
        let context = Arc::clone(hwpt.context());
        same_context((device.context(), device.id()), (&context, hwpt.id()))?;
        let (viommu_type, mut data) = kind.encode();
        let (device, hwpt_id) = (device.id(), hwpt.id());
        let id = sys::viommu::alloc(hwpt.object().fd(), viommu_type, device, hwpt_id, &mut data)
            .map_err(|e| Error::ViommuAlloc {
                viommu_type,
                device,
                hwpt: hwpt_id,
                source: e.into(),
            })?;
        let data = ViommuData::decode(viommu_type, data);
        Ok(Self {
            object: Object::new(context, id),
            data,
            hwpt: Arc::clone(hwpt),
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

    /// Returns the nest parent that it is made over.
    pub fn hwpt(&self) -> &Arc<Hwpt> {
        &self.hwpt
    }

    /// Returns what the kernel has said of it.
    pub fn data(&self) -> &ViommuData {
        &self.data
    }

    /// Has the IOMMU forget what a guest has changed, in one call (`IOMMU_HWPT_INVALIDATE`).
    ///
    /// # Errors
    /// [`Error::Invalidate`] says how many were handled before one was refused.
    pub fn invalidate(&self, invalidations: Invalidations<'_>) -> Result<(), Error> {
        invalidations.apply(&self.object)
    }

    /// Maps an area of its registers into this process, for the guest.
    ///
    /// # Errors
    /// [`Error::Mmap`].
    pub fn mmap(self: &Arc<Self>, area: MmapArea) -> Result<ViommuMmio, Error> {
        ViommuMmio::new(self, area)
    }

    /// Destroys it (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`].
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }
}

impl ViommuKind {
    /// Returns the kind's number, and the kind's struct for the kernel to read and write.
    fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::ArmSmmuv3 => (ARM_SMMUV3, Vec::new()),
            Self::Tegra241Cmdqv => (
                TEGRA241_CMDQV,
                vec![0; size_of::<iommu_viommu_tegra241_cmdqv>()],
            ),
            Self::Raw { viommu_type, data } => (*viommu_type, data.clone()),
        }
    }
}

impl ViommuData {
    fn decode(viommu_type: u32, data: Vec<u8>) -> Self {
        match viommu_type {
            _ if data.is_empty() => Self::None,
            TEGRA241_CMDQV => Self::Tegra241Cmdqv {
                vintf_page0: MmapArea {
                    offset: u64_at(
                        &data,
                        offset_of!(iommu_viommu_tegra241_cmdqv, out_vintf_mmap_offset),
                    ),
                    length: u64_at(
                        &data,
                        offset_of!(iommu_viommu_tegra241_cmdqv, out_vintf_mmap_length),
                    ),
                },
            },
            _ => Self::Raw(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_native_bytes;

    #[test]
    fn a_command_queue_interface_says_where_its_page_is() {
        let (kind, data) = ViommuKind::Tegra241Cmdqv.encode();
        assert_eq!((kind, data.len()), (2, 16));
        let vintf_page0 = MmapArea {
            offset: 0x1000,
            length: 0x10000,
        };
        let data = ViommuData::decode(kind, to_native_bytes(&[0x1000, 0x10000]));
        assert_eq!(data, ViommuData::Tegra241Cmdqv { vintf_page0 });
    }

    #[test]
    fn a_kind_of_the_future_is_data() {
        let kind = ViommuKind::Raw {
            viommu_type: 77,
            data: vec![1],
        };
        assert_eq!(kind.encode(), (77, vec![1]));
        assert_eq!(ViommuData::decode(77, vec![2]), ViommuData::Raw(vec![2]));
        assert_eq!(ViommuKind::ArmSmmuv3.encode(), (1, vec![]));
        assert_eq!(ViommuData::decode(1, vec![]), ViommuData::None);
    }
}
