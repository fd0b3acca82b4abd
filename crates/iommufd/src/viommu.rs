//! [`Viommu`]: a guest's slice of a physical IOMMU.

use std::mem::offset_of;
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_viommu_tegra241_cmdqv, iommu_viommu_type_IOMMU_VIOMMU_TYPE_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_viommu_type_IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV as TEGRA241_CMDQV,
};

use crate::bytes::u64_at;
use crate::device::check_same_context;
use crate::mmap_area::MmapArea;
use crate::object::Object;
use crate::{BoundDevice, Error, Hwpt, Invalidations, Iommufd, sys};

/// A virtual IOMMU (vIOMMU): a guest's slice of a physical IOMMU (`IOMMU_VIOMMU_ALLOC`).
///
/// The slice has device ids, cache tags and queues of its own. It holds its nest parent. Drop
/// destroys the virtual IOMMU and logs a failure; [`Viommu::close`] returns the failure.
///
/// ```no_run
/// use passthru_iommufd::{
///     BoundDevice, Error, Hwpt, HwptData, HwptOptions, Ioas, Vdevice, Viommu, ViommuKind,
/// };
/// use std::sync::Arc;
///
/// /// Puts a device behind a guest's SMMUv3, with the guest's stream table entry for the device.
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
///     // Next, attach the device to the nested page table.
///     Ok((vdevice, nested))
/// }
/// ```
#[derive(Debug)]
pub struct Viommu {
    object: Object,
    data: ViommuData,
    hwpt: Arc<Hwpt>,
}

/// Model of a virtual IOMMU (`enum iommu_viommu_type`). The physical IOMMU must be of the same
/// model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViommuKind {
    /// Arm SMMUv3 (`IOMMU_VIOMMU_TYPE_ARM_SMMUV3`).
    ArmSmmuv3,
    /// Arm SMMUv3 with virtual command queues of an NVIDIA Tegra241
    /// (`IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV`).
    Tegra241Cmdqv,
    /// A model that this crate does not encode.
    Raw {
        /// Number of the model (`enum iommu_viommu_type`).
        viommu_type: u32,
        /// Kernel's struct for this model; empty if the model has none.
        data: Vec<u8>,
    },
}

/// Model-specific data that the kernel returned for a virtual IOMMU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViommuData {
    /// The model has no data.
    None,
    /// NVIDIA Tegra241 CMDQV (`struct iommu_viommu_tegra241_cmdqv`).
    Tegra241Cmdqv {
        /// Page 0 of the virtual interface, to be mapped by
        /// [`ViommuMmio::map`](crate::ViommuMmio::map) and shown to the guest.
        vintf_page0: MmapArea,
    },
    /// Struct of a model that this crate does not decode, as the kernel left it.
    Raw(Vec<u8>),
}

impl Viommu {
    /// Allocates a virtual IOMMU on the physical IOMMU behind a device, over a nest parent
    /// (`IOMMU_VIOMMU_ALLOC`).
    ///
    /// The virtual IOMMU may outlive the device.
    ///
    /// # Errors
    /// - [`Error::OtherContext`]: if device and page table do not belong to one context.
    ///
    /// [`Error::ViommuAlloc`]:
    /// - If the physical IOMMU cannot provide this model, `EOPNOTSUPP`.
    /// - If the page table is not a nest parent, `EINVAL`.
    /// - If the device is no longer bound to its context, `ENOENT`.
    pub fn alloc(
        device: &dyn BoundDevice,
        hwpt: &Arc<Hwpt>,
        kind: &ViommuKind,
    ) -> Result<Self, Error> {
        let context = Arc::clone(hwpt.context());
        check_same_context((device.context(), device.id()), (&context, hwpt.id()))?;
        let (viommu_type, mut data) = kind.encode();
        let device = device.id();
        let hwpt_id = hwpt.id();
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

    /// Returns the context that the virtual IOMMU belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Returns the nest parent.
    pub fn hwpt(&self) -> &Arc<Hwpt> {
        &self.hwpt
    }

    /// Returns the model-specific data.
    pub fn data(&self) -> &ViommuData {
        &self.data
    }

    /// Drops a guest's changes from the caches of the IOMMU, in one call (`IOMMU_HWPT_INVALIDATE`).
    ///
    /// Entries name devices by [`Vdevice::virt_id`](crate::Vdevice::virt_id).
    ///
    /// # Errors
    /// [`Error::Invalidate`], with the number of entries handled before the failure:
    /// - If the IOMMU does not define the type, or an entry is malformed, `EINVAL` or `EOPNOTSUPP`.
    /// - If the kernel does not forward a command of an SMMUv3, `EIO`.
    pub fn invalidate(&self, invalidations: Invalidations<'_>) -> Result<(), Error> {
        invalidations.apply(&self.object)
    }

    /// Destroys the virtual IOMMU (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if a device, page table or queue of the virtual IOMMU exists, `EBUSY`.
    ///   It then lasts until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }
}

impl ViommuKind {
    /// Returns the model's number, and the kernel's struct, which the kernel reads and writes.
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
    fn page_of_the_command_queue_interface_is_decoded() {
        let (kind, data) = ViommuKind::Tegra241Cmdqv.encode();
        assert_eq!(kind, 2);
        assert_eq!(data.len(), 16);

        let vintf_page0 = MmapArea {
            offset: 0x1000,
            length: 0x10000,
        };
        let data = ViommuData::decode(kind, to_native_bytes(&[0x1000, 0x10000]));
        assert_eq!(data, ViommuData::Tegra241Cmdqv { vintf_page0 });
    }

    #[test]
    fn unknown_model_is_kept_as_data() {
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
