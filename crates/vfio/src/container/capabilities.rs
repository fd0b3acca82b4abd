//! [`Backend`], and [`Capabilities`] of a container.

use std::fmt;

/// Kernel interface of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// `/dev/iommu`, and a character device for each VFIO device.
    Iommufd,
    /// `/dev/vfio/vfio`, and a file for each IOMMU group (`VFIO_TYPE1v2_IOMMU`).
    Type1,
}

/// Method by which a device's BAR is mapped for other devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarMapping {
    /// The address of its mmap, with [`Dma::map`](super::Dma::map).
    Mmap,
    /// A dma-buf, with [`Dma::map_file`](super::Dma::map_file).
    DmaBuf,
}

/// Abilities of a container. A method beyond them fails with
/// [`Error::Unsupported`](super::Error::Unsupported).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Backend of the container.
    pub backend: Backend,
    /// Files can be mapped ([`Dma::map_file`](super::Dma::map_file)).
    pub map_file: bool,
    /// Writes of devices can be tracked
    /// ([`Dma::set_dirty_tracking`](super::Dma::set_dirty_tracking)). That call still fails if the
    /// IOMMU of an attached device cannot.
    pub dirty_tracking: bool,
    /// Dirty pages can be read without making them clean.
    pub dirty_without_clear: bool,
    /// Method by which BARs are mapped.
    pub bar_mapping: BarMapping,
    /// Largest number of mappings at a time; `None` if there is no limit. With type1 it is the
    /// module parameter `dma_entry_limit` (65,535 by default), read when the first device is
    /// attached.
    pub max_mappings: Option<u32>,
    /// Mappings can exist without a device: before the first is attached, and after the last is
    /// detached.
    pub without_devices: bool,
    /// Mappings can be copied to another container, with their pins (`IOMMU_IOAS_COPY`).
    pub copy: bool,
    /// A device can be attached to another target than the container's own mappings: another
    /// address space, or a page table of its own (`IOMMU_HWPT_ALLOC`).
    pub nesting: bool,
    /// A PASID of a device can be attached by itself (`VFIO_DEVICE_ATTACH_PASID`).
    pub pasid: bool,
}

impl Capabilities {
    /// Returns the abilities that every container has: mapping memory by its address and unmapping
    /// it, while a device is attached.
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
