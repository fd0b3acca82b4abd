//! [`HwInfo`]: model and capabilities of the IOMMU behind a device.

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

/// Model and capabilities of the IOMMU behind a device (`IOMMU_GET_HW_INFO`).
///
/// ```no_run
/// use passthru_iommufd::{BoundDevice, Error, HwCapabilities, HwInfo, HwInfoData};
///
/// /// Returns whether a guest with an SMMUv3 can be nested on the device's IOMMU and migrated.
/// fn suits(device: &dyn BoundDevice) -> Result<bool, Error> {
///     let info = HwInfo::query(device)?;
///     let is_smmu = matches!(info.iommu, HwInfoData::ArmSmmuv3 { .. });
///     Ok(is_smmu && info.capabilities.contains(HwCapabilities::DIRTY_TRACKING))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HwInfo {
    /// Capabilities that do not depend on the IOMMU's model.
    pub capabilities: HwCapabilities,
    /// Width of the device's PASIDs in bits; 0 for a device without PASIDs.
    pub max_pasid_log2: u8,
    /// Model-specific registers.
    pub iommu: HwInfoData,
}

bitflags::bitflags! {
    /// Capabilities of an IOMMU for a device (`enum iommufd_hw_capabilities`).
    ///
    /// Bits of later kernels are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HwCapabilities: u64 {
        /// Dirty tracking (`IOMMU_HW_CAP_DIRTY_TRACKING`).
        const DIRTY_TRACKING = 1;
        /// Execute permission for the device's PASIDs (`IOMMU_HW_CAP_PCI_PASID_EXEC`).
        const PCI_PASID_EXEC = 1 << 1;
        /// Privileged mode for the device's PASIDs (`IOMMU_HW_CAP_PCI_PASID_PRIV`).
        const PCI_PASID_PRIV = 1 << 2;
        /// The device cannot use ATS (`IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED`). Without this bit ATS
        /// may be available.
        const PCI_ATS_NOT_SUPPORTED = 1 << 3;
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// Errata of an Arm SMMUv3 that affect software of a virtual SMMUv3 (`enum
    /// iommu_hw_info_arm_smmuv3_flags`).
    ///
    /// Bits of later kernels are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SmmuV3Flags: u32 {
        /// User space must issue TLBI and CFGI commands twice, the second time once the SYNC of the
        /// first has completed (`IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI`, erratum
        /// T264-SMMU-3; Linux 7.3).
        const ERRATA_REPEAT_TLBI_CFGI = 1;
        const _ = !0;
    }
}

/// Registers of an IOMMU, by its model (`enum iommu_hw_info_type`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwInfoData {
    /// The IOMMU's driver reports no registers (`IOMMU_HW_INFO_TYPE_NONE`).
    None,
    /// Intel VT-d (`struct iommu_hw_info_vtd`).
    IntelVtd {
        /// Errata (`enum iommu_hw_info_vtd_flags`). Bit 0: a nest parent cannot have read-only
        /// mappings.
        flags: u32,
        /// Capability register (CAP_REG).
        cap: u64,
        /// Extended capability register (ECAP_REG).
        ecap: u64,
    },
    /// Arm SMMUv3 (`struct iommu_hw_info_arm_smmuv3`). Only the register fields that the kernel
    /// lists at this struct are valid.
    ArmSmmuv3 {
        /// Errata; empty before Linux 7.3.
        flags: SmmuV3Flags,
        /// Identification registers IDR0 to IDR5.
        idr: [u32; 6],
        /// Implementer identification register (IIDR).
        iidr: u32,
        /// Architecture version register (AIDR).
        aidr: u32,
    },
    /// NVIDIA Tegra241 CMDQV, an extension of an Arm SMMUv3 (`struct
    /// iommu_hw_info_tegra241_cmdqv`).
    Tegra241Cmdqv {
        /// Reserved; 0.
        flags: u32,
        /// Version of the extension.
        version: u8,
        /// Binary logarithm of the number of virtual command queues (VCMDQ) of a virtual interface.
        log2_vcmdqs: u8,
        /// Binary logarithm of the number of virtual stream ids (vSID) of a virtual interface.
        log2_vsids: u8,
    },
    /// AMD IOMMU (`struct iommu_hw_info_amd`).
    Amd {
        /// Extended feature register.
        efr: u64,
        /// Extended feature register 2.
        efr2: u64,
    },
    /// A model that this crate does not decode.
    Unknown {
        /// Number of the model (`enum iommu_hw_info_type`).
        data_type: u32,
        /// Kernel's struct for this model.
        data: Vec<u8>,
    },
}

impl HwInfo {
    /// Queries the IOMMU behind a device for its default type of data (`IOMMU_GET_HW_INFO`).
    ///
    /// # Errors
    /// - [`Error::HwInfo`]: if the device is no longer bound to its context, `ENOENT`.
    pub fn query(device: &dyn BoundDevice) -> Result<Self, Error> {
        Self::fetch(device, None)
    }

    /// Queries the IOMMU behind a device for one type of data (`IOMMU_HW_INFO_FLAG_INPUT_TYPE`).
    ///
    /// An SMMUv3 may have [`HwInfoData::TEGRA241_CMDQV`] beside its own data.
    ///
    /// # Errors
    /// [`Error::HwInfo`]:
    /// - If the IOMMU has no data of this type, `EOPNOTSUPP`.
    /// - If the device is no longer bound to its context, `ENOENT`.
    pub fn query_type(device: &dyn BoundDevice, data_type: u32) -> Result<Self, Error> {
        Self::fetch(device, Some(data_type))
    }

    fn fetch(device: &dyn BoundDevice, data_type: Option<u32>) -> Result<Self, Error> {
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
                return Ok(Self {
                    capabilities: HwCapabilities::from_bits_retain(answer.capabilities),
                    max_pasid_log2: answer.max_pasid_log2,
                    iommu: HwInfoData::decode(answer.data_type, data),
                });
            }
            data.resize(answer.length, 0);
        }
    }
}

impl HwInfoData {
    /// Type of [`HwInfoData::Tegra241Cmdqv`] (`IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV`).
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

    fn decode(data_type: u32, words: &[u64]) -> HwInfoData {
        HwInfoData::decode(data_type, to_native_bytes(words))
    }

    /// Returns two 32-bit registers that lie side by side.
    fn pair(low: u64, high: u64) -> u64 {
        low | high << 32
    }

    #[test]
    fn registers_are_decoded_by_model() {
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
        let smmu = [0, pair(1, 2), pair(3, 4), pair(5, 6), pair(7, 8)];
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
    fn smmu_erratum_is_bit_0_and_other_bits_are_kept() {
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
    fn unknown_model_is_kept_as_data() {
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
    fn field_that_an_older_kernel_lacks_is_zero() {
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
