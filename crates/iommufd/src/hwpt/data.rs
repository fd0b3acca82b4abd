//! [`HwptData`]: where a guest's page table is, as each kind of IOMMU wants to be told.

use iommufd_bindings::iommufd::{
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_AMD_GUEST as AMD_GUEST,
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_hwpt_data_type_IOMMU_HWPT_DATA_VTD_S1 as VTD_S1,
};

/// A guest's page table (`enum iommu_hwpt_data_type`). Addresses in it are the guest's, which the parent
/// translates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HwptData {
    /// A stage-1 page table of Intel VT-d (`IOMMU_HWPT_DATA_VTD_S1`).
    VtdS1 {
        /// Attributes of its entries (`enum iommu_hwpt_vtd_s1_flags`).
        flags: u64,
        /// Where it begins.
        page_table: u64,
        /// How many bits its addresses have.
        address_width: u32,
    },
    /// The first two doublewords of a stream table entry of an Arm SMMUv3, with the fields that the kernel
    /// allows (`IOMMU_HWPT_DATA_ARM_SMMUV3`).
    ArmSmmuv3 {
        /// They, as numbers of this machine.
        ste: [u64; 2],
    },
    /// A device table entry of an AMD IOMMU (`IOMMU_HWPT_DATA_AMD_GUEST`).
    AmdGuest {
        /// It, as numbers of this machine.
        dte: [u64; 4],
    },
    /// A kind that this crate does not know.
    Raw {
        /// The kind's number.
        data_type: u32,
        /// The kind's struct.
        data: Vec<u8>,
    },
}

impl HwptData {
    /// Returns the kind's number and the kind's struct.
    pub(super) fn encode(&self) -> (u32, Vec<u8>) {
        match self {
            Self::VtdS1 { flags, page_table, address_width } => {
                (VTD_S1, native(&[*flags, *page_table, u64::from(*address_width)]))
            }
            Self::ArmSmmuv3 { ste } => (ARM_SMMUV3, ste.iter().flat_map(|word| word.to_le_bytes()).collect()),
            Self::AmdGuest { dte } => (AMD_GUEST, native(dte)),
            Self::Raw { data_type, data } => (*data_type, data.clone()),
        }
    }
}

fn native(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
