//! [`HwptData`]: location of a guest's page table, in the format of each IOMMU model.

use iommufd_bindings::iommufd::{
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_AMD_GUEST as AMD_GUEST,
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_VTD_S1 as VTD_S1,
};

use crate::bytes::{to_little_endian_bytes, to_native_bytes};

/// Location of a guest's page table (`enum iommu_hwpt_data_type`).
///
/// Addresses are guest-physical: the nest parent translates them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwptData {
    /// Stage-1 page table of Intel VT-d (`IOMMU_HWPT_DATA_VTD_S1`).
    VtdS1 {
        /// Attributes (`enum iommu_hwpt_vtd_s1_flags`): 1 for supervisor requests, 2 for extended
        /// access flags, 4 for write protection.
        flags: u64,
        /// Address of the top-level table.
        page_table: u64,
        /// Width of input addresses, in bits.
        address_width: u32,
    },
    /// Stream table entry of an Arm SMMUv3 (`IOMMU_HWPT_DATA_ARM_SMMUV3`).
    ///
    /// The kernel accepts the fields that it lists at `struct iommu_hwpt_arm_smmuv3`.
    ArmSmmuv3 {
        /// First two doublewords of the entry, in the byte order of this machine.
        ste: [u64; 2],
    },
    /// Device table entry of an AMD IOMMU (`IOMMU_HWPT_DATA_AMD_GUEST`).
    AmdGuest {
        /// The entry's four doublewords, in the byte order of this machine.
        dte: [u64; 4],
    },
    /// A type that this crate does not encode.
    Raw {
        /// Number of the type (`enum iommu_hwpt_data_type`).
        data_type: u32,
        /// Kernel's struct for this type.
        data: Vec<u8>,
    },
}

impl HwptData {
    /// Stream table entry that blocks all DMA of the device (valid, `Config` 0).
    pub const SMMUV3_ABORT: Self = Self::ArmSmmuv3 { ste: [1, 0] };

    /// Stream table entry without a guest's page table: only the nest parent translates the
    /// device's addresses (valid, `Config` 4).
    pub const SMMUV3_BYPASS: Self = Self::ArmSmmuv3 {
        ste: [1 | 4 << 1, 0],
    };

    /// Returns the type's number and the kernel's struct.
    pub(crate) fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::VtdS1 {
                flags,
                page_table,
                address_width,
            } => (
                VTD_S1,
                to_native_bytes(&[*flags, *page_table, u64::from(*address_width)]),
            ),
            Self::ArmSmmuv3 { ste } => (ARM_SMMUV3, to_little_endian_bytes(ste).collect()),
            Self::AmdGuest { dte } => (AMD_GUEST, to_native_bytes(dte)),
            Self::Raw { data_type, data } => (*data_type, data.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_have_the_kernels_layout() {
        use iommufd_bindings::iommufd::{
            iommu_hwpt_amd_guest, iommu_hwpt_arm_smmuv3, iommu_hwpt_vtd_s1,
        };
        let vtd = HwptData::VtdS1 {
            flags: 1,
            page_table: 0x1000,
            address_width: 48,
        };
        let smmu = HwptData::ArmSmmuv3 { ste: [0x0102, 0] };
        let amd = HwptData::AmdGuest { dte: [1, 2, 3, 4] };
        let sizes = [vtd, smmu.clone(), amd].map(|data| (data.encode().0, data.encode().1.len()));
        let vtd = (1, size_of::<iommu_hwpt_vtd_s1>());
        let arm = (2, size_of::<iommu_hwpt_arm_smmuv3>());

        assert_eq!(sizes, [vtd, arm, (3, size_of::<iommu_hwpt_amd_guest>())]);
        assert_eq!(smmu.encode().1[..3], [2, 1, 0]);

        let first =
            [HwptData::SMMUV3_ABORT, HwptData::SMMUV3_BYPASS].map(|data| data.encode().1[0]);
        assert_eq!(first, [0b0001, 0b1001]);
    }
}
