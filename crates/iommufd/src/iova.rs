//! [`Iova`], [`IovaRanges`] and [`PhysicalRange`]: addresses in and behind an I/O address space.

use std::fmt;
use std::ops::RangeInclusive;

use iommufd_bindings::iommufd::iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA as FIXED_IOVA;

/// IOVA that a mapping is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iova {
    /// Any free IOVA in the usable ranges, or in those of
    /// [`Ioas::allow_iovas`](crate::Ioas::allow_iovas) if they are set.
    Any,
    /// Exactly this IOVA, which must be free (`IOMMU_IOAS_MAP_FIXED_IOVA`).
    At(u64),
}

/// IOVAs that an I/O address space can use at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IovaRanges {
    /// Usable ranges, in rising order; both bounds are inclusive.
    pub ranges: Vec<RangeInclusive<u64>>,
    /// Alignment of IOVAs and lengths, in bytes: a power of two, at most the page size.
    pub alignment: u64,
}

/// Physical memory behind an IOVA of a device without an IOMMU (see
/// [`Ioas::noiommu_get_pa`](crate::Ioas::noiommu_get_pa)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRange {
    /// First physical address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Iova {
    /// Returns the flag of `IOMMU_IOAS_MAP` for a fixed IOVA, or 0.
    pub(crate) fn flags(self) -> u32 {
        match self {
            Self::Any => 0,
            Self::At(_) => FIXED_IOVA,
        }
    }

    /// Returns the IOVA, or 0 for any.
    pub(crate) fn value(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::At(iova) => iova,
        }
    }
}

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any IOVA"),
            Self::At(iova) => write!(f, "IOVA {iova:#x}"),
        }
    }
}
