//! Hints: suggestions to the user about an [`Error`].

use rustix::io::Errno;

use crate::Error;

/// Hint for an id that the kernel does not know.
const DEVICE_IS_UNBOUND: &str = "check that the device is still bound to this context";

impl Error {
    /// Returns a suggestion to the user, as an imperative sentence without a full stop.
    ///
    /// Returns `None` if the error suggests no remedy.
    pub fn hint(&self) -> Option<&'static str> {
        if let Self::OtherContext { .. } = self {
            return Some(
                "allocate both from one Iommufd; another Iommufd with the same descriptor does \
                 not count",
            );
        }

        let errno = Errno::from_io_error(self.io()?)?;
        match self {
            _ if errno == Errno::MFILE => Some(
                "raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=): the process has too many open \
                 files",
            ),
            Self::Open { .. } => open_hint(errno),
            Self::NotIommufd { .. } => Some("open /dev/iommu and hand in that descriptor"),
            Self::Accounting { .. } => accounting_hint(errno),
            _ if errno == Errno::NOTTY => {
                Some("use a newer kernel: the running one is too old for this call")
            }
            Self::Map { .. } | Self::MapFile { .. } | Self::Copy { .. } => self.map_hint(errno),
            Self::NoiommuGetPa { .. } => noiommu_hint(errno),
            Self::HwptAlloc { .. }
            | Self::DirtyTracking { .. }
            | Self::DirtyBitmap { .. }
            | Self::Invalidate { .. } => self.hwpt_hint(errno),
            Self::ViommuAlloc { .. }
            | Self::Mmap { .. }
            | Self::VdeviceAlloc { .. }
            | Self::VeventQueueAlloc { .. }
            | Self::HwQueueAlloc { .. } => self.viommu_hint(errno),
            _ => self.object_hint(errno),
        }
    }

    fn map_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (_, Errno::NOMEM) => Some(
                "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to a little more than the \
                 memory that devices reach: pinned memory counts against it",
            ),
            (_, Errno::EXIST) => Some("unmap what is mapped there already, or use another IOVA"),
            (_, Errno::NOSPC) => {
                Some("unmap other memory first: no gap in the usable IOVA ranges is large enough")
            }
            (Self::MapFile { .. }, Errno::INVAL) => Some(
                "use a memfd or a device's dma-buf that holds the whole range, and a usable, \
                 aligned IOVA",
            ),
            (_, Errno::INVAL) => Some(
                "use a multiple of the alignment within the usable IOVA ranges, which the \
                 attached devices narrow",
            ),
            (Self::Copy { .. }, Errno::NOENT) => {
                Some("copy a range that is mapped as a whole in its I/O address space")
            }
            (Self::Map { .. }, Errno::FAULT) => Some(
                "use memory that is present and writable; map a BAR of a device by file, as a \
                 dma-buf",
            ),
            (Self::MapFile { .. }, Errno::NODEV) => Some(
                "map the dma-buf again once the device decodes its memory (after a reset, in D0)",
            ),
            (Self::Copy { .. }, Errno::PERM) => {
                Some("copy the memory for reading only, as it was mapped")
            }
            _ => None,
        }
    }

    fn object_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::Destroy { .. }, Errno::BUSY) => Some(
                "detach, destroy or close the devices, objects and files that still use the object",
            ),
            (Self::Unmap { .. }, Errno::NOENT) => {
                Some("unmap whole mappings only, and only where something is mapped")
            }
            (Self::Unmap { .. }, Errno::BUSY) => {
                Some("close the hardware queue that still uses the mapping")
            }
            (Self::AllowIovas { .. }, Errno::ADDRINUSE) => Some(
                "choose IOVAs from the usable ranges: the attached devices cannot use all of these",
            ),
            (Self::ChangeProcess { .. }, Errno::INVAL) => Some(
                "map guest memory by memfd: only mappings of files can pass to another process",
            ),
            (Self::ChangeProcess { .. }, Errno::NOMEM) => {
                Some("raise RLIMIT_MEMLOCK of this process")
            }
            (Self::HwInfo { .. }, Errno::OPNOTSUPP) => {
                Some("ask for another type: the device's IOMMU has no data of this one")
            }
            (Self::HwInfo { .. }, Errno::NOENT) => Some(DEVICE_IS_UNBOUND),
            (Self::Respond { .. }, Errno::INVAL) => {
                Some("answer each group only once, and before its device is detached")
            }
            (
                Self::HugePages {
                    to: Some(false), ..
                },
                Errno::INVAL,
            ) => Some("forbid huge pages before memory is mapped for a device"),
            _ => None,
        }
    }

    fn hwpt_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::HwptAlloc { .. }, Errno::OPNOTSUPP) => Some(
                "leave options out: the device's IOMMU or its kernel driver has no such page table",
            ),
            (Self::HwptAlloc { .. }, Errno::INVAL) => Some(
                "allocate it over an I/O address space; a guest's needs a nest parent of the \
                 same IOMMU, and data that fit",
            ),
            (Self::HwptAlloc { .. }, Errno::NOENT) => Some(DEVICE_IS_UNBOUND),
            (Self::DirtyTracking { .. } | Self::DirtyBitmap { .. }, Errno::OPNOTSUPP) => {
                Some("allocate the page table with dirty tracking")
            }
            (Self::DirtyTracking { .. } | Self::DirtyBitmap { .. }, Errno::NOENT) => {
                Some("ask the parent: a guest's page table has no dirty tracking")
            }
            (Self::DirtyBitmap { .. }, Errno::INVAL | Errno::OVERFLOW) => Some(
                "use a power of two as page size, a range of whole pages, and a bitmap with a \
                 bit for each",
            ),
            (Self::Invalidate { .. }, Errno::OPNOTSUPP | Errno::INVAL) => Some(
                "pass only invalidations that the object's IOMMU defines, in whole entries, at \
                 most 2^19",
            ),
            (Self::Invalidate { .. }, Errno::IO) => {
                Some("leave this command out: the kernel does not forward it")
            }
            _ => None,
        }
    }

    fn viommu_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::ViommuAlloc { .. }, Errno::INVAL | Errno::NOENT) => {
                Some("bind the device to this context, and use a nest parent as page table")
            }
            (Self::Mmap { .. }, Errno::NXIO | Errno::INVAL) => {
                Some("map the area that the kernel named, as a whole")
            }
            (Self::VdeviceAlloc { .. }, Errno::EXIST) => Some(
                "use a device that is not behind a virtual IOMMU yet, and a number that is free",
            ),
            (Self::VdeviceAlloc { .. }, Errno::INVAL) => {
                Some("use a device behind the physical IOMMU of this virtual IOMMU")
            }
            (Self::VdeviceAlloc { .. }, Errno::NOENT) => Some(DEVICE_IS_UNBOUND),
            (Self::VeventQueueAlloc { .. }, Errno::EXIST) => {
                Some("use the queue that exists already for events of this type")
            }
            (Self::VeventQueueAlloc { .. }, Errno::TOOBIG) => {
                Some("use an event type whose struct has at most 4096 bytes")
            }
            (Self::VeventQueueAlloc { .. }, Errno::INVAL) => {
                Some("ask for room for 1 to 2^19 events")
            }
            (Self::HwQueueAlloc { .. }, Errno::EXIST) => {
                Some("use another number: this one has a queue already")
            }
            (Self::HwQueueAlloc { .. }, Errno::INVAL) => Some(
                "use a number of a queue that the hardware has, and memory that is not a device's",
            ),
            (Self::HwQueueAlloc { .. }, Errno::IO) => {
                Some("allocate queues in the order of their numbers")
            }
            (Self::HwQueueAlloc { .. }, Errno::NOENT) => {
                Some("map all of the memory at this IOVA first")
            }
            (Self::HwQueueAlloc { .. }, Errno::PERM) => Some("map the memory for reading"),
            (Self::HwQueueAlloc { .. }, Errno::FAULT) => {
                Some("put the memory into one huge page: it must be contiguous")
            }
            (_, Errno::OPNOTSUPP) => Some(
                "use another type: the device's IOMMU or its kernel driver does not have this one",
            ),
            _ => None,
        }
    }
}

fn open_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => Some(
            "use a kernel with CONFIG_IOMMUFD (module 'iommufd'); Fedora, Ubuntu and Arch have \
             it, Debian does not",
        ),
        Errno::ACCESS | Errno::PERM => Some("run this as root"),
        _ => None,
    }
}

fn accounting_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::PERM => Some("run this as root: it needs CAP_SYS_RESOURCE"),
        Errno::BUSY => Some("set the accounting while the context is still empty"),
        _ => None,
    }
}

fn noiommu_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::OPNOTSUPP => Some(
            "ask this only for a device without an IOMMU, on a kernel with CONFIG_VFIO_NOIOMMU",
        ),
        Errno::PERM => Some("run this as root: it needs CAP_SYS_RAWIO"),
        Errno::NOENT => Some("map this IOVA first"),
        Errno::INVAL => Some("ask for at least one byte, of memory that its dma-buf still has"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Iova};

    #[test]
    fn map_error_names_its_arguments() {
        let error = Error::Map {
            ioas: 7,
            address: 0x1000,
            length: 0x2000,
            iova: Iova::At(0x4000),
            access: Access::ReadWrite,
            source: Errno::EXIST.into(),
        };
        assert_eq!(
            error.to_string(),
            "cannot map 0x2000 bytes at address 0x1000 to IOVA 0x4000 of I/O address space 7, for \
             reading and writing (IOMMU_IOAS_MAP)"
        );
        assert!(error.hint().unwrap().contains("mapped there already"));
    }

    #[test]
    fn noiommu_query_has_a_hint_for_each_errno() {
        let refusals = [
            (Errno::NOTTY, "too old"),
            (Errno::OPNOTSUPP, "CONFIG_VFIO_NOIOMMU"),
            (Errno::PERM, "CAP_SYS_RAWIO"),
            (Errno::NOENT, "map this IOVA first"),
            (Errno::INVAL, "at least one byte"),
        ];
        for (errno, words) in refusals {
            let error = Error::NoiommuGetPa {
                ioas: 7,
                iova: 0x4000,
                length: 0x10,
                source: errno.into(),
            };
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(words), "{errno}: {hint}");
            let message = error.to_string();
            assert!(message.contains("0x10 bytes at IOVA 0x4000"), "{message}");
        }
    }

    #[test]
    fn enotty_hints_at_a_newer_kernel() {
        let error = Error::ChangeProcess {
            source: Errno::NOTTY.into(),
        };
        assert!(error.hint().unwrap().contains("too old"));
    }
}
