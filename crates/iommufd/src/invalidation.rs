//! [`Invalidations`]: cached entries that the IOMMU must drop after a guest has changed its page
//! tables.

use iommufd_bindings::iommufd::{
    iommu_hwpt_invalidate_data_type_IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 as VTD_S1,
    iommu_hwpt_invalidate_data_type_IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_hwpt_vtd_s1_invalidate_flags_IOMMU_VTD_INV_FLAGS_LEAF as LEAF,
};
use rustix::io::Errno;

use crate::bytes::{to_little_endian_bytes, to_native_bytes};
use crate::object::Object;
use crate::{Error, sys};

/// Invalidations of one type, in order (`enum iommu_hwpt_invalidate_data_type`).
///
/// An empty list checks whether the kernel supports the type.
///
/// ```no_run
/// use passthru_iommufd::{Error, Invalidations, Viommu};
///
/// /// Forwards commands of a guest's queue, and returns the number that were handled.
/// fn forward(viommu: &Viommu, commands: &[[u64; 2]]) -> u32 {
///     match viommu.invalidate(Invalidations::ArmSmmuv3(commands)) {
///         Ok(()) => commands.len() as u32,
///         Err(Error::Invalidate { handled, .. }) => handled,
///         Err(_) => 0,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidations<'a> {
    /// Ranges of a stage-1 page table of Intel VT-d (`IOMMU_HWPT_INVALIDATE_DATA_VTD_S1`).
    VtdS1(&'a [VtdS1Invalidation]),
    /// Commands of an Arm SMMUv3 for a virtual IOMMU (`IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3`).
    ///
    /// Each command is two 64-bit words in the byte order of this machine. The kernel accepts
    /// `TLBI_NSNH_ALL`, `TLBI_NH_*`, `ATC_INV`, `CFGI_CD` and `CFGI_CD_ALL`.
    ArmSmmuv3(&'a [[u64; 2]]),
    /// A type that this crate does not encode.
    Raw {
        /// Number of the type (`enum iommu_hwpt_invalidate_data_type`).
        data_type: u32,
        /// Length of an entry, in bytes.
        entry_length: u32,
        /// Entries, one after the other.
        entries: &'a [u8],
    },
}

/// A changed range of a guest's VT-d page table (`struct iommu_hwpt_vtd_s1_invalidate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VtdS1Invalidation {
    /// First address of the range, a multiple of 4096.
    pub address: u64,
    /// Number of pages of 4096 bytes. `u64::MAX`, with address 0, covers the whole table.
    pub pages: u64,
    /// Whether only entries of the last level have changed (`IOMMU_VTD_INV_FLAGS_LEAF`).
    pub leaf: bool,
}

impl VtdS1Invalidation {
    /// The whole page table.
    pub const ALL: Self = Self {
        address: 0,
        pages: u64::MAX,
        leaf: false,
    };

    fn words(self) -> [u64; 3] {
        let flags = if self.leaf { LEAF.into() } else { 0 };
        [self.address, self.pages, flags]
    }
}

impl Invalidations<'_> {
    /// Passes the invalidations to the kernel, in one call (`IOMMU_HWPT_INVALIDATE`).
    pub(crate) fn apply(self, object: &Object) -> Result<(), Error> {
        let (data_type, entry_length, bytes) = self.encode();
        let entries = (bytes.len() as u32)
            .checked_div(entry_length)
            .unwrap_or_default();
        let batch = sys::hwpt::InvalidationBatch {
            data_type,
            entry_length,
            entries,
            bytes: &bytes,
        };
        let has_whole_entries = bytes.len() as u64 == u64::from(entries) * u64::from(entry_length);
        let result = if has_whole_entries {
            sys::hwpt::invalidate(object.fd(), object.id(), batch)
        } else {
            Err((Errno::INVAL, 0))
        };
        result.map_err(|(e, handled)| Error::Invalidate {
            object: object.id(),
            data_type,
            entries,
            // A kernel that fails early leaves the count of all entries in the struct.
            handled: if handled < entries { handled } else { 0 },
            source: e.into(),
        })
    }

    /// Returns the type's number, the length of an entry in bytes, and the entries as the kernel
    /// reads them.
    fn encode(self) -> (u32, u32, Vec<u8>) {
        match self {
            Self::VtdS1(entries) => {
                let structs = entries
                    .iter()
                    .flat_map(|entry| to_native_bytes(&entry.words()));
                (VTD_S1, 24, structs.collect())
            }
            Self::ArmSmmuv3(commands) => {
                let structs = commands
                    .iter()
                    .flat_map(|command| to_little_endian_bytes(command));
                (ARM_SMMUV3, 16, structs.collect())
            }
            Self::Raw {
                data_type,
                entry_length,
                entries,
            } => (data_type, entry_length, entries.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use iommufd_bindings::iommufd::{
        iommu_hwpt_vtd_s1_invalidate, iommu_viommu_arm_smmuv3_invalidate,
    };

    use super::*;

    #[test]
    fn structs_have_the_kernels_layout() {
        let leaf = VtdS1Invalidation {
            address: 0x1000,
            pages: 2,
            leaf: true,
        };
        let (kind, length, bytes) = Invalidations::VtdS1(&[VtdS1Invalidation::ALL, leaf]).encode();
        assert_eq!(
            (kind, length as usize),
            (0, size_of::<iommu_hwpt_vtd_s1_invalidate>())
        );
        assert_eq!(bytes[24..], to_native_bytes(&[0x1000, 2, 1]));

        let (kind, length, bytes) = Invalidations::ArmSmmuv3(&[[0x10, 0], [0x11, 2]]).encode();
        assert_eq!(
            (kind, length as usize),
            (1, size_of::<iommu_viommu_arm_smmuv3_invalidate>())
        );
        assert_eq!((bytes[0], bytes[16], bytes[24]), (0x10, 0x11, 2));
    }
}
