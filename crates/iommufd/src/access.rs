//! [`Access`]: access of devices to mapped memory.

use std::fmt;

use iommufd_bindings::iommufd::{
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE as READABLE,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE as WRITEABLE,
};

/// Access that devices get to mapped memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading (`IOMMU_IOAS_MAP_READABLE`).
    Read,
    /// Writing (`IOMMU_IOAS_MAP_WRITEABLE`).
    Write,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    /// Returns the flags of `IOMMU_IOAS_MAP`.
    pub(crate) fn flags(self) -> u32 {
        match self {
            Self::Read => READABLE,
            Self::Write => WRITEABLE,
            Self::ReadWrite => READABLE | WRITEABLE,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "for reading",
            Self::Write => "for writing",
            Self::ReadWrite => "for reading and writing",
        })
    }
}
