//! [`HwInfo`]: what the IOMMU behind a device is and can do.

use std::mem::offset_of;
use std::os::fd::AsFd;

use iommufd_bindings::iommufd::{
    iommu_hw_info_amd, iommu_hw_info_arm_smmuv3, iommu_hw_info_tegra241_cmdqv,
    iommu_hw_info_type_IOMMU_HW_INFO_TYPE_AMD as AMD,
    iommu_hw_info_type_IOMMU_HW_INFO_TYPE_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_hw_info_type_IOMMU_HW_INFO_TYPE_INTEL_VTD as INTEL_VTD,
    iommu_hw_info_type_IOMMU_HW_INFO_TYPE_NONE as NONE,
    iommu_hw_info_type_IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV as TEGRA241_CMDQV, iommu_hw_info_vtd,
};

use crate::bytes::{array_at, u32_at, u64_at};
use crate::{BoundDevice, Error, sys};

/// What the IOMMU behind a device can do for it (`IOMMU_GET_HW_INFO`).
///
/// ```no_run
/// use passthru_iommufd::{BoundDevice, Error, HwCapabilities, HwInfo, HwInfoData};
///
/// /// Whether dirty pages can be tracked, and an SMMUv3 is there to nest a guest's page tables on.
/// fn ask(device: &dyn BoundDevice) -> Result<(bool, bool), Error> {
///     let info = HwInfo::of(device)?;
///     let smmu = matches!(info.iommu, HwInfoData::ArmSmmuv3 { .. });
///     Ok((info.capabilities.contains(HwCapabilities::DIRTY_TRACKING), smmu))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HwInfo {
    /// What it can do whatever it is.
    pub capabilities: HwCapabilities,
    /// How many bits a PASID has; 0 where the device has none.
    pub max_pasid_log2: u8,
    /// What it is.
    pub iommu: HwInfoData,
}

bitflags::bitflags! {
    /// What an IOMMU can do for a device (`enum iommufd_hw_capabilities`), with what later kernels
    /// may add.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HwCapabilities: u64 {
        /// Dirty tracking.
        const DIRTY_TRACKING = 1;
        /// The device's PASIDs have the execute permission.
        const PCI_PASID_EXEC = 1 << 1;
        /// The device's PASIDs have the privileged mode.
        const PCI_PASID_PRIV = 1 << 2;
        /// The device cannot use ATS. (Otherwise it may.)
        const PCI_ATS_NOT_SUPPORTED = 1 << 3;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Flags of an Arm SMMUv3 that software of a virtual one must know of, with what later kernels
    /// may add (`enum iommu_hw_info_arm_smmuv3_flags`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SmmuV3Flags: u32 {
        /// User space must issue TLBI and CFGI commands twice, the second time once the SYNC of the
        /// first has completed (`IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI`, erratum
        /// T264-SMMU-3; Linux 7.3).
        const ERRATA_REPEAT_TLBI_CFGI = 1;
        const _ = !0;
    }
}

/// Registers of an IOMMU, by its kind (`enum iommu_hw_info_type`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwInfoData {
    /// Its driver says nothing.
    None,
    /// Intel VT-d.
    IntelVtd {
        /// Errata (`enum iommu_hw_info_vtd_flags`): 1 where a nest parent cannot have read-only
        /// mappings.
        flags: u32,
        /// The capability register.
        cap: u64,
        /// The extended capability register.
        ecap: u64,
    },
    /// Arm SMMUv3. Of the registers only the fields that `struct iommu_hw_info_arm_smmuv3` names
    /// count.
    ArmSmmuv3 {
        /// Errata; none before Linux 7.3.
        flags: SmmuV3Flags,
        /// IDR0 to IDR5.
        idr: [u32; 6],
        /// Who made it.
        iidr: u32,
        /// The architecture's version.
        aidr: u32,
    },
    /// NVIDIA Tegra241 CMDQV, which an Arm SMMUv3 may have besides.
    Tegra241Cmdqv {
        /// None so far.
        flags: u32,
        /// Its version.
        version: u8,
        /// How many virtual command queues it has, as a power of two.
        log2_vcmdqs: u8,
        /// How many stream ids it replaces, as a power of two.
        log2_vsids: u8,
    },
    /// AMD.
    Amd {
        /// The extended feature register.
        efr: u64,
        /// The extended feature register 2.
        efr2: u64,
    },
    /// A kind that this crate does not know.
    Unknown {
        /// The kind's number.
        data_type: u32,
        /// The kind's struct.
        data: Vec<u8>,
    },
}

impl HwInfo {
    /// Asks for what the kernel says of its own accord.
    ///
    /// # Errors
    /// [`Error::HwInfo`].
    pub fn of(device: &dyn BoundDevice) -> Result<Self, Error> {
        Self::ask(device, None)
    }

    /// Asks for a certain kind of data (`IOMMU_HW_INFO_FLAG_INPUT_TYPE`), as
    /// [`HwInfoData::TEGRA241_CMDQV`] where an SMMUv3 may have it besides.
    ///
    /// # Errors
    /// [`Error::HwInfo`] also where the IOMMU has no such data.
    pub fn of_type(device: &dyn BoundDevice, data_type: u32) -> Result<Self, Error> {
        Self::ask(device, Some(data_type))
    }

    fn ask(device: &dyn BoundDevice, data_type: Option<u32>) -> Result<Self, Error> {
        let mut data = vec![0; 64];
        loop {
            let answer =
                sys::device::hw_info(device.context().as_fd(), device.id(), data_type, &mut data)
                    .map_err(|e| Error::HwInfo {
                    device: device.id(),
                    data_type,
                    source: e.into(),
                })?;
            if answer.length <= data.len() {
                data.truncate(answer.length);
                let capabilities = HwCapabilities::from_bits_retain(answer.capabilities);
                let iommu = HwInfoData::decode(answer.data_type, data);
                return Ok(Self {
                    capabilities,
                    max_pasid_log2: answer.max_pasid_log2,
                    iommu,
                });
            }
            data.resize(answer.length, 0);
        }
    }
}

impl HwInfoData {
    /// The number of the kind [`HwInfoData::Tegra241Cmdqv`] (`IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV`).
    pub const TEGRA241_CMDQV: u32 = TEGRA241_CMDQV;

    fn decode(data_type: u32, data: Vec<u8>) -> Self {
        match data_type {
            NONE => Self::None,
            INTEL_VTD => Self::IntelVtd {
                flags: u32_at(&data, offset_of!(iommu_hw_info_vtd, flags)),
                cap: u64_at(&data, offset_of!(iommu_hw_info_vtd, cap_reg)),
                ecap: u64_at(&data, offset_of!(iommu_hw_info_vtd, ecap_reg)),
            },
            ARM_SMMUV3 => Self::ArmSmmuv3 {
                flags: SmmuV3Flags::from_bits_retain(u32_at(
                    &data,
                    offset_of!(iommu_hw_info_arm_smmuv3, flags),
                )),
                idr: [0, 4, 8, 12, 16, 20]
                    .map(|at| u32_at(&data, offset_of!(iommu_hw_info_arm_smmuv3, idr) + at)),
                iidr: u32_at(&data, offset_of!(iommu_hw_info_arm_smmuv3, iidr)),
                aidr: u32_at(&data, offset_of!(iommu_hw_info_arm_smmuv3, aidr)),
            },
            TEGRA241_CMDQV => {
                let [version, log2_vcmdqs, log2_vsids] =
                    array_at(&data, offset_of!(iommu_hw_info_tegra241_cmdqv, version));
                Self::Tegra241Cmdqv {
                    flags: u32_at(&data, 0),
                    version,
                    log2_vcmdqs,
                    log2_vsids,
                }
            }
            AMD => Self::Amd {
                efr: u64_at(&data, offset_of!(iommu_hw_info_amd, efr)),
                efr2: u64_at(&data, offset_of!(iommu_hw_info_amd, efr2)),
            },
            data_type => Self::Unknown { data_type, data },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::to_native_bytes;

    #[test]
    fn registers_are_read_by_the_kind_of_iommu() {
        let decode = |kind, words: &[u64]| HwInfoData::decode(kind, to_native_bytes(words));
        let two = |low: u64, high: u64| low | high << 32;
        assert_eq!(decode(0, &[]), HwInfoData::None);
        assert_eq!(
            decode(1, &[1, 2, 3]),
            HwInfoData::IntelVtd {
                flags: 1,
                cap: 2,
                ecap: 3
            }
        );
        let idr = [1, 2, 3, 4, 5, 6];
        let smmu = [0, two(1, 2), two(3, 4), two(5, 6), two(7, 8)];
        let flags = SmmuV3Flags::empty();
        assert_eq!(
            decode(2, &smmu),
            HwInfoData::ArmSmmuv3 {
                flags,
                idr,
                iidr: 7,
                aidr: 8
            }
        );
        let cmdqv = HwInfoData::Tegra241Cmdqv {
            flags: 0,
            version: 1,
            log2_vcmdqs: 2,
            log2_vsids: 3,
        };
        assert_eq!(HwInfoData::decode(3, vec![0, 0, 0, 0, 1, 2, 3, 0]), cmdqv);
        assert_eq!(decode(4, &[5, 6]), HwInfoData::Amd { efr: 5, efr2: 6 });
    }

    #[test]
    fn smmu_erratum_is_the_first_bit_and_others_are_kept() {
        for bits in [0, 1, 1 | 1 << 7] {
            let HwInfoData::ArmSmmuv3 { flags, .. } =
                HwInfoData::decode(2, to_native_bytes(&[bits, 0, 0, 0, 0]))
            else {
                panic!("bits {bits:#x}");
            };
            assert_eq!(
                flags.contains(SmmuV3Flags::ERRATA_REPEAT_TLBI_CFGI),
                bits & 1 == 1
            );
            assert_eq!(u64::from(flags.bits()), bits);
        }
    }

    #[test]
    fn an_iommu_of_the_future_is_data() {
        let data = vec![1, 2, 3];
        let unknown = HwInfoData::Unknown {
            data_type: 99,
            data: data.clone(),
        };
        assert_eq!(HwInfoData::decode(99, data), unknown);
        assert!(
            HwCapabilities::from_bits_retain(1 << 40 | 1).contains(HwCapabilities::DIRTY_TRACKING)
        );
    }

    #[test]
    fn what_an_older_kernel_leaves_out_is_zero() {
        let short = to_native_bytes(&[0, 2]);
        assert_eq!(
            HwInfoData::decode(1, short),
            HwInfoData::IntelVtd {
                flags: 0,
                cap: 2,
                ecap: 0
            }
        );
    }
}
