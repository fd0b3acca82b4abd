//! What goes wrong with a container, and what the user can do then.

use std::io;
use std::path::PathBuf;

use super::{Backend, BackendReason, Blocker};
use crate::BadCapability;
use crate::device;

/// What went wrong with a container. Each variant names the object and the arguments; the kernel's
/// answer is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The iommufd backend's call failed.
    #[error(transparent)]
    Iommufd(#[from] passthru_iommufd::Error),
    /// The device could not be opened, bound, attached or detached.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The backend cannot do this; [`super::Capabilities`] says so before.
    #[error("{backend} cannot {what}")]
    Unsupported {
        /// The backend.
        backend: Backend,
        /// What was asked for.
        what: &'static str,
    },
    /// Neither backend is there.
    #[error("there is neither iommufd ({iommufd}) nor type1")]
    NoBackend {
        /// Reason for not taking iommufd.
        iommufd: Box<BackendReason>,
        /// What is wrong with type1.
        source: Box<Error>,
    },
    /// A file of VFIO could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file is open, but is no VFIO container or group.
    #[error("{} is not a VFIO {what} (asked by ioctl)", path.display())]
    NotVfio {
        /// Its path.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's VFIO has no type1 IOMMU, or an old one.
    #[error("the kernel's VFIO does not support {extension} (VFIO_CHECK_EXTENSION)")]
    NoType1 {
        /// The extension that is missing: `VFIO_TYPE1v2_IOMMU`, or `VFIO_UNMAP_ALL`, which Linux
        /// 5.12 has.
        extension: &'static str,
    },
    /// A device is in no IOMMU group.
    #[error("{device} has no IOMMU group")]
    NoGroup {
        /// The device.
        device: String,
    },
    /// A group is there only without an IOMMU (`noiommu`): its devices reach all memory.
    #[error("group {group} has no IOMMU (noiommu)")]
    NoIommu {
        /// Its number.
        group: u32,
    },
    /// A group has devices that others use.
    #[error("group {group} is not viable{}", by(blockers))]
    NotViable {
        /// Its number.
        group: u32,
        /// Its devices on drivers of the host; none where another process has the group.
        blockers: Vec<Blocker>,
    },
    /// A group could not be taken in.
    #[error("cannot take group {group} into the container ({call})")]
    Join {
        /// Its number.
        group: u32,
        /// `VFIO_GROUP_SET_CONTAINER` or `VFIO_SET_IOMMU`.
        call: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A device of a group could not be opened.
    #[error("cannot open {device} of group {group}{} (VFIO_GROUP_GET_DEVICE_FD)", if *token { " with this token" } else { "" })]
    GroupDevice {
        /// The device.
        device: String,
        /// The group's number.
        group: u32,
        /// Whether a token was given.
        token: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A hot reset affects devices that are not the caller's.
    #[error("a hot reset would also affect {}", devices.join(", "))]
    NotOwned {
        /// The devices.
        devices: Vec<String>,
    },
    /// Other handles of a device are there, or a proof for a hot reset has its group.
    #[error(
        "{device} is in use by other handles, mappings, or a proof for a hot reset of its group"
    )]
    InUse {
        /// The device.
        device: String,
    },
    /// A descriptor could not be copied.
    #[error("cannot copy a descriptor (dup)")]
    Copy {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory that is pinned cannot be discarded.
    #[error("memory cannot be discarded: it is pinned for {}", devices.join(", "))]
    Pinned {
        /// The devices and page tables that it is pinned for.
        devices: Vec<String>,
    },
    /// A device that pins memory cannot be attached while memory is discarded.
    #[error("{device} cannot be attached while memory is discarded")]
    Discarding {
        /// The device.
        device: String,
    },
    /// KVM refused a device.
    #[error("cannot register a device with KVM (KVM_DEV_VFIO_FILE_ADD)")]
    Kvm {
        /// KVM's answer.
        source: io::Error,
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
    /// The kernel could not say whether it has mapped memory, nor be had to unmap it: devices may
    /// reach it.
    #[error("{map}; it may have taken effect, and cannot be unmapped")]
    PerhapsMapped {
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// What was said to the map.
        map: Box<passthru_iommufd::Error>,
        /// What was said to the unmap.
        source: Box<passthru_iommufd::Error>,
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
    /// The container did not say what it is.
    #[error("cannot read the container's page sizes and IOVA ranges (VFIO_IOMMU_GET_INFO)")]
    Info {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The container's answer makes no sense.
    #[error("the container's reply is malformed (VFIO_IOMMU_GET_INFO)")]
    BadInfo {
        /// What is wrong with it.
        source: BadCapability,
    },
    /// The container has no device.
    #[error("the container has no device, so it maps nothing and has no IOVA ranges")]
    NoDevice,
    /// Dirty tracking could not be begun or ended.
    #[error("cannot {} dirty tracking (VFIO_IOMMU_DIRTY_PAGES)", if *on { "begin" } else { "end" })]
    DirtyTracking {
        /// What was asked for.
        on: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The IOMMU of these devices does not say which pages they write to.
    #[error("the IOMMU of {} does not report dirty pages", devices.join(", "))]
    NoDirtyTracking {
        /// The devices.
        devices: Vec<String>,
    },
    /// A page table is not filled with the container's mappings.
    #[error("the page table does not belong to the container's address space")]
    OtherTable,
    /// Dirty pages were asked for while they are not tracked.
    #[error("dirty tracking is off")]
    NotTracking,
    /// The dirty pages could not be asked for.
    #[error(
        "cannot read dirty pages of {page_size:#x} bytes in {length:#x} bytes at IOVA {iova:#x} (VFIO_IOMMU_DIRTY_PAGES)"
    )]
    DirtyPages {
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The page size in bytes.
        page_size: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A bitmap of dirty pages does not fit the range that it is for.
    #[error(
        "{words} words do not have a bit for each whole page of {page_size:#x} bytes in {length:#x} bytes"
    )]
    Bitmap {
        /// The length of the range in bytes.
        length: u64,
        /// The page size in bytes.
        page_size: u64,
        /// The length of the bitmap, 64 bits each.
        words: usize,
    },
}

fn by(blockers: &[Blocker]) -> String {
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
    /// Returns the kernel's answer, where the kernel was asked.
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
    fn what_may_be_mapped_is_told_with_both_answers() {
        let (ioas, address, length, iova) = (1, 0x7000, 0x1000, 0x2000);
        let (at, access, source) = (Iova::At(iova), Access::Read, Errno::FAULT.into());
        let map = passthru_iommufd::Error::Map {
            ioas,
            address,
            length,
            iova: at,
            access,
            source,
        };
        let unmap = passthru_iommufd::Error::Unmap {
            ioas,
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
    fn a_full_container_is_told_with_its_limit() {
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
    fn what_keeps_a_group_from_being_viable_is_named() {
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
    fn an_extension_that_is_missing_is_named_with_the_kernel_that_has_it() {
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
    fn what_a_backend_cannot_do_is_named() {
        let error = Error::Unsupported {
            backend: Backend::Type1,
            what: "map a file",
        };
        assert_eq!(error.to_string(), "type1 cannot map a file");
    }
}
