//! [`Error`]: a failure of a container.

use std::io;
use std::path::PathBuf;

use super::{Backend, BackendReason, Blocker};
use crate::BadCapability;
use crate::device;

/// A failure of a container.
///
/// Each variant names the object and the arguments. The kernel's errno is in the source; see
/// [`Error::io`]. [`Error::hint`] returns what the user can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to `/dev/iommu` failed.
    #[error(transparent)]
    Iommufd(#[from] passthru_iommufd::Error),
    /// A device could not be opened, bound, attached or detached.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The backend lacks an operation. [`super::Capabilities`] lists the operations.
    #[error("{backend} cannot {operation}")]
    Unsupported {
        /// The backend.
        backend: Backend,
        /// The operation, for example `map a file`.
        operation: &'static str,
    },
    /// Neither backend can be used.
    #[error("there is neither iommufd ({iommufd}) nor type1")]
    NoBackend {
        /// Reason for not taking iommufd.
        iommufd: Box<BackendReason>,
        /// Failure of type1.
        source: Box<Error>,
    },
    /// A file of VFIO could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// The kernel's errno.
        source: io::Error,
    },
    /// An open file is not a VFIO container or group.
    #[error("{} is not a VFIO {expected} (asked by ioctl)", path.display())]
    NotVfio {
        /// Path of the file.
        path: PathBuf,
        /// The expected kind of file: `container` or `group`.
        expected: &'static str,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The kernel lacks a type1 IOMMU, or an extension of it.
    #[error("the kernel's VFIO does not support {extension} (VFIO_CHECK_EXTENSION)")]
    NoType1 {
        /// The missing extension: `VFIO_TYPE1v2_IOMMU`, or `VFIO_UNMAP_ALL`, which Linux has since
        /// 5.12.
        extension: &'static str,
    },
    /// A device does not belong to an IOMMU group.
    #[error("{device} has no IOMMU group")]
    NoGroup {
        /// Name of the device.
        device: String,
    },
    /// A group exists only without an IOMMU (`/dev/vfio/noiommu-N`): its devices reach all memory.
    #[error("group {group} has no IOMMU (noiommu)")]
    NoIommu {
        /// Number of the group.
        group: u32,
    },
    /// A group is not viable: it has devices on other drivers, or another owner.
    #[error("group {group} is not viable{}", cause_of(blockers))]
    NotViable {
        /// Number of the group.
        group: u32,
        /// Devices on drivers of the host; empty if another process owns the group.
        blockers: Vec<Blocker>,
    },
    /// A group could not be added to a container.
    #[error("cannot add group {group} to the container ({call})")]
    Join {
        /// Number of the group.
        group: u32,
        /// `VFIO_GROUP_SET_CONTAINER` or `VFIO_SET_IOMMU`.
        call: &'static str,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A device of a group could not be opened.
    #[error(
        "cannot open {device} of group {group}{} \
         (VFIO_GROUP_GET_DEVICE_FD)",
        if *token { " with this token" } else { "" }
    )]
    GroupDevice {
        /// Name of the device.
        device: String,
        /// Number of the group.
        group: u32,
        /// A token was given.
        token: bool,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A hot reset affects devices that the caller does not own.
    #[error("a hot reset would also affect {}", devices.join(", "))]
    NotOwned {
        /// Addresses of these devices.
        devices: Vec<String>,
    },
    /// A device has other handles, or a proof for a hot reset holds its group.
    #[error(
        "{device} is in use by other handles, mappings, or a proof for a hot reset of its group"
    )]
    InUse {
        /// Name of the device.
        device: String,
    },
    /// A descriptor could not be copied.
    #[error("cannot copy a descriptor (dup)")]
    Copy {
        /// The kernel's errno.
        source: io::Error,
    },
    /// Pinned memory cannot be discarded.
    #[error("memory cannot be discarded: it is pinned for {}", devices.join(", "))]
    Pinned {
        /// Names of the devices and page tables that pin it.
        devices: Vec<String>,
    },
    /// A device that pins memory cannot be attached while memory is discarded.
    #[error("{device} cannot be attached while memory is discarded")]
    Discarding {
        /// Name of the device.
        device: String,
    },
    /// KVM refused a registration.
    #[error("cannot register a device with KVM (KVM_DEV_VFIO_FILE_ADD)")]
    Kvm {
        /// KVM's errno.
        source: io::Error,
    },
    /// Memory could not be mapped.
    #[error("cannot map {length:#x} bytes at IOVA {iova:#x} (VFIO_IOMMU_MAP_DMA)")]
    Map {
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A map failed with `EFAULT`, so it may have taken effect, and the unmap that followed failed
    /// too. Devices may reach the memory.
    #[error("{map}; it may have taken effect, and cannot be unmapped")]
    PerhapsMapped {
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Failure of the map.
        map: Box<passthru_iommufd::Error>,
        /// Failure of the unmap.
        source: Box<passthru_iommufd::Error>,
    },
    /// IOVAs could not be unmapped.
    #[error("cannot unmap {length:#x} bytes at IOVA {iova:#x} (VFIO_IOMMU_UNMAP_DMA)")]
    Unmap {
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The container's page sizes and IOVAs could not be read.
    #[error("cannot read the container's page sizes and IOVA ranges (VFIO_IOMMU_GET_INFO)")]
    Info {
        /// The kernel's errno.
        source: io::Error,
    },
    /// The container's information is malformed.
    #[error("the container's reply is malformed (VFIO_IOMMU_GET_INFO)")]
    BadInfo {
        /// The malformed capability.
        source: BadCapability,
    },
    /// The container has no device, so it cannot map.
    #[error("the container has no device, so it maps nothing and has no IOVA ranges")]
    NoDevice,
    /// Dirty tracking could not be started or stopped.
    #[error(
        "cannot {} dirty tracking (VFIO_IOMMU_DIRTY_PAGES)",
        if *on { "start" } else { "stop" }
    )]
    DirtyTracking {
        /// Tracking was to be started, otherwise stopped.
        on: bool,
        /// The kernel's errno.
        source: io::Error,
    },
    /// The IOMMU of some devices does not track dirty pages.
    #[error("the IOMMU of {} does not report dirty pages", devices.join(", "))]
    NoDirtyTracking {
        /// Names of these devices.
        devices: Vec<String>,
    },
    /// A page table is over another address space than the container's.
    #[error("the page table does not belong to the container's address space")]
    OtherTable,
    /// Dirty pages were read while dirty tracking is off.
    #[error("dirty tracking is off")]
    NotTracking,
    /// Dirty pages could not be read.
    #[error(
        "cannot read dirty pages of {page_size:#x} bytes in {length:#x} bytes at IOVA {iova:#x} \
         (VFIO_IOMMU_DIRTY_PAGES)"
    )]
    DirtyPages {
        /// First IOVA.
        iova: u64,
        /// Length in bytes.
        length: u64,
        /// Page size in bytes.
        page_size: u64,
        /// The kernel's errno.
        source: io::Error,
    },
    /// A range is not whole pages, or its bitmap is too small.
    #[error(
        "{words} words do not have a bit for each whole page of {page_size:#x} bytes in \
         {length:#x} bytes"
    )]
    Bitmap {
        /// Length of the range in bytes.
        length: u64,
        /// Page size in bytes.
        page_size: u64,
        /// Length of the bitmap in words of 64 bits.
        words: usize,
    },
}

fn cause_of(blockers: &[Blocker]) -> String {
    let each: Vec<_> = blockers
        .iter()
        .map(|b| format!("{} is bound to {}", b.device, b.driver))
        .collect();
    if each.is_empty() {
        ": it has another owner".into()
    } else {
        format!(": {}", each.join(", "))
    }
}

impl Error {
    /// Returns the kernel's error, if the kernel was called.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Iommufd(error) => error.io(),
            Self::Device(error) => error.io(),
            Self::NoBackend { source, .. } => source.io(),
            Self::PerhapsMapped { map, .. } => map.io(),
            Self::Open { source, .. }
            | Self::NotVfio { source, .. }
            | Self::Join { source, .. }
            | Self::GroupDevice { source, .. }
            | Self::Copy { source }
            | Self::Kvm { source }
            | Self::Map { source, .. }
            | Self::Unmap { source, .. }
            | Self::Info { source }
            | Self::DirtyTracking { source, .. }
            | Self::DirtyPages { source, .. } => Some(source),
            Self::Unsupported { .. }
            | Self::NoType1 { .. }
            | Self::NoGroup { .. }
            | Self::NoIommu { .. }
            | Self::NotViable { .. }
            | Self::NotOwned { .. }
            | Self::InUse { .. }
            | Self::Pinned { .. }
            | Self::Discarding { .. }
            | Self::BadInfo { .. }
            | Self::NoDevice
            | Self::NoDirtyTracking { .. }
            | Self::OtherTable
            | Self::NotTracking
            | Self::Bitmap { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use passthru_iommufd::{Access, Iova};
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn uncertain_map_error_has_both_failures() {
        let iova = 0x2000;
        let length = 0x1000;
        let map = passthru_iommufd::Error::Map {
            ioas: 1,
            address: 0x7000,
            length,
            iova: Iova::At(iova),
            access: Access::Read,
            source: Errno::FAULT.into(),
        };
        let unmap = passthru_iommufd::Error::Unmap {
            ioas: 1,
            iova,
            length,
            source: Errno::NOMEM.into(),
        };
        let error = Error::PerhapsMapped {
            iova,
            length,
            map: Box::new(map),
            source: Box::new(unmap),
        };

        assert!(
            error.to_string().ends_with("and cannot be unmapped"),
            "{error}"
        );
        assert_eq!(
            error.io().and_then(Errno::from_io_error),
            Some(Errno::FAULT)
        );
        assert!(error.hint().unwrap().contains("free the memory"));
    }

    #[test]
    fn hint_for_a_full_container_has_the_limit() {
        let error = Error::Map {
            iova: 0x2000,
            length: 0x1000,
            source: Errno::NOSPC.into(),
        };
        assert_eq!(
            error.to_string(),
            "cannot map 0x1000 bytes at IOVA 0x2000 (VFIO_IOMMU_MAP_DMA)"
        );
        assert!(error.hint().unwrap().contains("65,535"));
    }

    #[test]
    fn blockers_of_a_group_are_named() {
        let blocker = Blocker {
            device: "0000:06:02.0".into(),
            driver: "e1000".into(),
        };
        let error = Error::NotViable {
            group: 7,
            blockers: vec![blocker],
        };
        assert_eq!(
            error.to_string(),
            "group 7 is not viable: 0000:06:02.0 is bound to e1000"
        );
        assert!(error.hint().unwrap().contains("vfio-pci"));
    }

    #[test]
    fn missing_extension_is_named_with_its_kernel() {
        let error = Error::NoType1 {
            extension: "VFIO_UNMAP_ALL",
        };
        assert_eq!(
            error.to_string(),
            "the kernel's VFIO does not support VFIO_UNMAP_ALL (VFIO_CHECK_EXTENSION)"
        );
        assert!(error.hint().unwrap().contains("5.12"));
        assert!(
            Error::NoType1 {
                extension: "VFIO_TYPE1v2_IOMMU"
            }
            .hint()
            .unwrap()
            .contains("CONFIG_")
        );
    }

    #[test]
    fn unsupported_operation_is_named() {
        let error = Error::Unsupported {
            backend: Backend::Type1,
            operation: "map a file",
        };
        assert_eq!(error.to_string(), "type1 cannot map a file");
    }
}
