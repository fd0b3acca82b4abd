//! What goes wrong with a container.

use super::Backend;
use std::io;

/// What went wrong with a container. The kernel's answer is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The iommufd backend's call failed.
    #[error(transparent)]
    Iommufd(#[from] passthru_iommufd::Error),
    /// The backend cannot do this; [`super::Capabilities`] says so before.
    #[error("the {backend:?} backend cannot {what}")]
    Unsupported {
        /// The backend.
        backend: Backend,
        /// What was asked for.
        what: &'static str,
    },
    /// Memory could not be mapped.
    #[error("cannot map {length:#x} bytes at IOVA {iova:#x} (VFIO_IOMMU_MAP_DMA)")]
    Map {
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// IOVAs could not be unmapped.
    #[error("cannot unmap {length:#x} bytes at IOVA {iova:#x} (VFIO_IOMMU_UNMAP_DMA)")]
    Unmap {
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// Returns the kernel's answer, where the kernel was asked.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Iommufd(error) => error.io(),
            Self::Unsupported { .. } => None,
            Self::Map { source, .. } | Self::Unmap { source, .. } => Some(source),
        }
    }

    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Iommufd(error) => error.hint(),
            _ => None,
        }
    }
}
