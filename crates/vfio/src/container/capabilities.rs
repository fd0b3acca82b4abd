//! [`Backend`]s, and what a container over each can do.

use std::fmt;

/// Which interface of the kernel a container speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `/dev/iommu` and a character device for each VFIO device.
    Iommufd,
    /// `/dev/vfio/vfio` and a file for each IOMMU group (`VFIO_TYPE1v2_IOMMU`).
    Type1,
}

/// How a device's BAR is mapped for other devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarMapping {
    /// By the address of its mmap ([`Dma::map`](super::Dma::map)).
    Mmap,
    /// By a dma-buf ([`Dma::map_file`](super::Dma::map_file)).
    DmaBuf,
}

/// What a container can do. It is asked before, so that nobody meets a method that does not work:
/// that one answers with [`Error::Unsupported`](super::Error::Unsupported).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Its backend.
    pub backend: Backend,
    /// Whether files can be mapped ([`Dma::map_file`](super::Dma::map_file)).
    pub map_file: bool,
    /// Whether devices' writes can be tracked
    /// ([`Dma::set_dirty_tracking`](super::Dma::set_dirty_tracking)). Whether the IOMMU of a device
    /// can is another question, which that call answers.
    pub dirty_tracking: bool,
    /// Whether written pages can be asked for without making them clean.
    pub dirty_without_clear: bool,
    /// How BARs are mapped.
    pub bar_mapping: BarMapping,
    /// How many mappings there can be at a time, if that is limited. With type1 it is the module
    /// parameter `dma_entry_limit` (65,535 by default) as it was when the container got its first
    /// device.
    pub max_mappings: Option<u32>,
    /// Whether there can be mappings without a device: before the first is attached, and after the
    /// last was detached. With type1 they go with the last device.
    pub without_devices: bool,
    /// Whether mappings can be copied to another container, with their pins (`IOMMU_IOAS_COPY`).
    pub copy: bool,
    /// Whether a device can be attached to something else than the container's own mappings: to
    /// another address space, or to a page table of its own (`IOMMU_HWPT_ALLOC`).
    pub nesting: bool,
    /// Whether what a device does under a PASID can be attached by itself.
    pub pasid: bool,
}

impl Capabilities {
    /// What every container can do: map memory by its address, and unmap it, while a device is
    /// attached.
    pub const fn minimal(backend: Backend) -> Self {
        Self {
            backend,
            map_file: false,
            dirty_tracking: false,
            dirty_without_clear: false,
            bar_mapping: BarMapping::Mmap,
            max_mappings: None,
            without_devices: false,
            copy: false,
            nesting: false,
            pasid: false,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iommufd => "iommufd",
            Self::Type1 => "type1",
        })
    }
}
