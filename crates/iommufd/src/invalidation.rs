//! [`Invalidations`]: what a guest has changed in its page tables, for the IOMMU to forget.

use iommufd_bindings::iommufd::{
    iommu_hwpt_invalidate_data_type_IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 as VTD_S1,
    iommu_hwpt_invalidate_data_type_IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 as ARM_SMMUV3,
    iommu_hwpt_vtd_s1_invalidate_flags_IOMMU_VTD_INV_FLAGS_LEAF as LEAF,
};
use rustix::io::Errno;

use crate::bytes::{to_little_endian_bytes, to_native_bytes};
use crate::object::Object;
use crate::{Error, sys};

/// Invalidations of one kind (`enum iommu_hwpt_invalidate_data_type`), in order. None at all asks
/// whether the kernel knows the kind.
///
/// ```no_run
/// use passthru_iommufd::{Error, Invalidations, Viommu};
///
/// /// Passes on commands of a guest's queue, and returns how many were taken.
/// fn pass_on(viommu: &Viommu, commands: &[[u64; 2]]) -> u32 {
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
    /// For a stage-1 page table of Intel VT-d (`IOMMU_HWPT_INVALIDATE_DATA_VTD_S1`).
    VtdS1(&'a [VtdS1Invalidation]),
    /// Commands of an Arm SMMUv3 for a virtual IOMMU, as numbers of this machine: `TLBI_NSNH_ALL`,
    /// `TLBI_NH_*`, `ATC_INV`, `CFGI_CD`, `CFGI_CD_ALL`
    /// (`IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3`).
    ArmSmmuv3(&'a [[u64; 2]]),
    /// A kind that this crate does not know.
    Raw {
        /// The kind's number.
        data_type: u32,
        /// How many bytes one has.
        entry_length: u32,
        /// They, one after the other.
        entries: &'a [u8],
    },
}

/// Pages of a guest's VT-d page table that have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VtdS1Invalidation {
    /// The first address, a multiple of 4096.
    pub address: u64,
    /// How many pages of 4096 bytes; `u64::MAX`, at address 0, for all there are.
    pub pages: u64,
    /// Only the last level has changed (`IOMMU_VTD_INV_FLAGS_LEAF`).
    pub leaf: bool,
}

impl VtdS1Invalidation {
    /// All of the page table.
    pub const ALL: Self = Self {
        address: 0,
        pages: u64::MAX,
        leaf: false,
    };

    fn words(self) -> [u64; 3] {
        [
            self.address,
            self.pages,
            if self.leaf { LEAF.into() } else { 0 },
        ]
    }
}

impl Invalidations<'_> {
    /// Hands them to the kernel, in one call.
    pub(crate) fn apply(self, object: &Object) -> Result<(), Error> {
        let (data_type, entry_length, bytes) = self.encode();
        let entries = (bytes.len() as u32)
            .checked_div(entry_length)
            .unwrap_or_default();
        let batch = sys::hwpt::Batch {
            data_type,
            entry_length,
            entries,
            bytes: &bytes,
        };
        let answer = if bytes.len() as u64 == u64::from(entries) * u64::from(entry_length) {
            sys::hwpt::invalidate(object.fd(), object.id(), batch)
        } else {
            Err((Errno::INVAL, 0))
        };
        answer.map_err(|(e, handled)| Error::Invalidate {
            object: object.id(),
            data_type,
            entries,
            // Where all of them seem handled, the kernel has not come to say how many were.
            handled: if handled < entries { handled } else { 0 },
            source: e.into(),
        })
    }

    /// Returns the kind's number, the length of one in bytes, and the kind's structs.
    fn encode(self) -> (u32, u32, Vec<u8>) {
        match self {
            Self::VtdS1(entries) => (
                VTD_S1,
                24,
                entries
                    .iter()
                    .flat_map(|entry| to_native_bytes(&entry.words()))
                    .collect(),
            ),
            Self::ArmSmmuv3(commands) => (
                ARM_SMMUV3,
                16,
                commands
                    .iter()
                    .flat_map(|command| to_little_endian_bytes(command))
                    .collect(),
            ),
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
    fn the_structs_are_the_kernels() {
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
