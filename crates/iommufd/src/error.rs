//! What goes wrong with `/dev/iommu`, and what the user can do then.

use crate::{Access, Accounting, Iova};
use rustix::io::Errno;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What went wrong with `/dev/iommu`. Each variant names the call, its object (by the kernel's id) and its
/// arguments; the kernel's answer is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor is open, but is no iommufd: the kernel did not answer as one.
    #[error("the descriptor is no iommufd (asked by IOMMU_OPTION_RLIMIT_MODE)")]
    NotIommufd {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The accounting could not be changed.
    #[error("cannot charge pinned memory to the {} (IOMMU_OPTION_RLIMIT_MODE)", match to { Accounting::User => "user", Accounting::Process => "process" })]
    Accounting {
        /// What was asked for.
        to: Accounting,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The charge for pinned memory could not pass to this process.
    #[error("cannot charge this process with what is pinned (IOMMU_IOAS_CHANGE_PROCESS)")]
    ChangeProcess {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The I/O address space for the container interface could not be asked for or changed.
    #[error("cannot {} the I/O address space for VFIO containers (IOMMU_VFIO_IOAS)", match ioas { Some(id) => format!("make object {id}"), None => "ask for or clear".into() })]
    CompatIoas {
        /// Which one it was to be.
        ioas: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No I/O address space could be allocated.
    #[error("cannot allocate an I/O address space (IOMMU_IOAS_ALLOC)")]
    Alloc {
        /// The kernel's answer.
        source: io::Error,
    },
    /// An object could not be destroyed.
    #[error("cannot destroy object {id} (IOMMU_DESTROY)")]
    Destroy {
        /// Its id.
        id: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory could not be mapped.
    #[error(
        "cannot map {length:#x} bytes at address {address:#x} to {iova} of I/O address space {ioas}, {access} (IOMMU_IOAS_MAP)"
    )]
    Map {
        /// The I/O address space.
        ioas: u32,
        /// The memory's address in the process.
        address: u64,
        /// Its length in bytes.
        length: u64,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be mapped.
    #[error(
        "cannot map {length:#x} bytes at offset {offset:#x} of a file to {iova} of I/O address space {ioas}, {access} (IOMMU_IOAS_MAP_FILE)"
    )]
    MapFile {
        /// The I/O address space.
        ioas: u32,
        /// The offset in the file.
        offset: u64,
        /// The length in bytes.
        length: u64,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A mapping could not be copied.
    #[error(
        "cannot copy {length:#x} bytes at IOVA {from_iova:#x} of I/O address space {from} to {iova} of {ioas}, {access} (IOMMU_IOAS_COPY)"
    )]
    Copy {
        /// The I/O address space that has the mapping.
        from: u32,
        /// Where it has it.
        from_iova: u64,
        /// The length in bytes.
        length: u64,
        /// The I/O address space that was to get it.
        ioas: u32,
        /// Where to.
        iova: Iova,
        /// What for.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Two I/O address spaces belong to different contexts, between which nothing can be copied.
    #[error(
        "I/O address spaces {from} and {ioas} belong to different iommufd contexts: nothing can be copied (IOMMU_IOAS_COPY)"
    )]
    OtherContext {
        /// The I/O address space that has the mapping.
        from: u32,
        /// The I/O address space that was to get it.
        ioas: u32,
    },
    /// IOVAs could not be unmapped.
    #[error(
        "cannot unmap {length:#x} bytes at IOVA {iova:#x} of I/O address space {ioas} (IOMMU_IOAS_UNMAP)"
    )]
    Unmap {
        /// The I/O address space.
        ioas: u32,
        /// The first IOVA.
        iova: u64,
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The usable IOVAs could not be asked for.
    #[error("cannot ask I/O address space {ioas} for its IOVA ranges (IOMMU_IOAS_IOVA_RANGES)")]
    IovaRanges {
        /// The I/O address space.
        ioas: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// IOVAs could not be kept free for use.
    #[error(
        "cannot keep the IOVA ranges {} of I/O address space {ioas} (IOMMU_IOAS_ALLOW_IOVAS)",
        list(ranges)
    )]
    AllowIovas {
        /// The I/O address space.
        ioas: u32,
        /// The ranges.
        ranges: Vec<RangeInclusive<u64>>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The use of huge pages could not be asked for or changed.
    #[error("cannot {} huge pages in I/O address space {ioas} (IOMMU_OPTION_HUGE_PAGES)", match to { Some(true) => "allow", Some(false) => "forbid", None => "ask for the use of" })]
    HugePages {
        /// The I/O address space.
        ioas: u32,
        /// What was asked for; `None` where it was asked what it is.
        to: Option<bool>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There was no memory for DMA.
    #[error("cannot allocate {length:#x} bytes of memory for DMA (mmap)")]
    Memory {
        /// The length in bytes.
        length: usize,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn list(ranges: &[RangeInclusive<u64>]) -> String {
    let ranges: Vec<_> = ranges.iter().map(|r| format!("{:#x}-{:#x}", r.start(), r.end())).collect();
    ranges.join(", ")
}

impl Error {
    /// Returns the kernel's answer, where the kernel was asked.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::OtherContext { .. } => None,
            Self::Open { source, .. }
            | Self::NotIommufd { source }
            | Self::Accounting { source, .. }
            | Self::ChangeProcess { source }
            | Self::CompatIoas { source, .. }
            | Self::Alloc { source }
            | Self::Destroy { source, .. }
            | Self::Map { source, .. }
            | Self::MapFile { source, .. }
            | Self::Copy { source, .. }
            | Self::Unmap { source, .. }
            | Self::IovaRanges { source, .. }
            | Self::AllowIovas { source, .. }
            | Self::HugePages { source, .. }
            | Self::Memory { source, .. } => Some(source),
        }
    }

    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        if let Self::OtherContext { .. } = self {
            return Some("allocate both from one Iommufd");
        }
        let errno = Errno::from_io_error(self.io()?)?;
        match self {
            Self::Open { .. } => open_hint(errno),
            Self::NotIommufd { .. } => Some("open /dev/iommu and hand in that descriptor"),
            Self::Accounting { .. } => accounting_hint(errno),
            _ if errno == Errno::NOTTY => Some("the running kernel is too old for this call"),
            Self::Map { .. } | Self::MapFile { .. } | Self::Copy { .. } => self.map_hint(errno),
            _ => self.object_hint(errno),
        }
    }

    fn map_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (_, Errno::NOMEM) => Some(
                "pinned memory counts against RLIMIT_MEMLOCK: raise it (ulimit -l, LimitMEMLOCK=) to the memory that devices reach and a little more",
            ),
            (_, Errno::EXIST) => {
                Some("something is mapped there already: unmap it first, or take another IOVA")
            }
            (_, Errno::NOSPC) => Some("no gap in the usable IOVA ranges is large enough"),
            (Self::MapFile { .. }, Errno::INVAL) => Some(
                "the file must be a memfd or a device's dma-buf that reaches to the end of the range; the IOVA must be usable and aligned",
            ),
            (_, Errno::INVAL) => Some(
                "the range must lie in the usable IOVA ranges, which the attached devices narrow, and be a multiple of their alignment",
            ),
            (Self::Copy { .. }, Errno::NOENT) => {
                Some("the range is not mapped as a whole where it is copied from")
            }
            (Self::Map { .. }, Errno::FAULT) => Some(
                "the memory is not all there, is read-only, or is a device's: a BAR is mapped by file, as a dma-buf",
            ),
            (Self::MapFile { .. }, Errno::PERM) => Some("the file is not open for writing, or is sealed"),
            _ => None,
        }
    }

    fn object_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::Destroy { .. }, Errno::BUSY) => {
                Some("devices or page tables use it still: detach and destroy them first")
            }
            (Self::Unmap { .. }, Errno::NOENT) => {
                Some("nothing is mapped there, or only a part of a mapping was named: mappings go as a whole")
            }
            (Self::Unmap { .. }, Errno::BUSY) => Some("somebody uses the mapping still"),
            (Self::AllowIovas { .. }, Errno::ADDRINUSE) => {
                Some("the attached devices cannot use all of these IOVAs: take them from the usable ranges")
            }
            (Self::ChangeProcess { .. }, Errno::INVAL) => {
                Some("only mappings of files can pass to another process: map guest memory by memfd")
            }
            (Self::ChangeProcess { .. }, Errno::NOMEM) => Some("raise RLIMIT_MEMLOCK of this process"),
            (Self::HugePages { to: Some(false), .. }, Errno::INVAL) => {
                Some("huge pages can be forbidden only before memory is mapped for a device")
            }
            _ => None,
        }
    }
}

fn open_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => Some(
            "the kernel needs CONFIG_IOMMUFD (module 'iommufd'); kernels of Fedora, Ubuntu and Arch have it, Debian's do not",
        ),
        Errno::ACCESS | Errno::PERM => Some("run this as root"),
        _ => None,
    }
}

fn accounting_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::PERM => Some("CAP_SYS_RESOURCE is needed: run this as root"),
        Errno::BUSY => {
            Some("the context is in use already; the accounting can be set only while it is empty")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_map_names_its_arguments() {
        let (iova, access) = (Iova::At(0x4000), Access::ReadWrite);
        let source = Errno::EXIST.into();
        let error = Error::Map { ioas: 7, address: 0x1000, length: 0x2000, iova, access, source };
        assert_eq!(
            error.to_string(),
            "cannot map 0x2000 bytes at address 0x1000 to IOVA 0x4000 of I/O address space 7, for reading and writing (IOMMU_IOAS_MAP)"
        );
        assert!(error.hint().unwrap().contains("mapped there already"));
    }

    #[test]
    fn a_kernel_that_lacks_a_call_is_said_to_be_too_old() {
        let error = Error::ChangeProcess { source: Errno::NOTTY.into() };
        assert!(error.hint().unwrap().contains("too old"));
    }
}
