//! What the user can do about an error.

use super::Error;
use rustix::io::Errno;

/// Where an id says nothing to the kernel.
const GONE: &str = "is the device bound to this context still?";

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        if let Self::OtherContext { .. } = self {
            return Some(
                "allocate both from one Iommufd: another one of the same descriptor does not count as it",
            );
        }
        let errno = Errno::from_io_error(self.io()?)?;
        match self {
            _ if errno == Errno::MFILE => {
                Some("the process has too many open files: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)")
            }
            Self::Open { .. } => open_hint(errno),
            Self::NotIommufd { .. } => Some("open /dev/iommu and hand in that descriptor"),
            Self::Accounting { .. } => accounting_hint(errno),
            _ if errno == Errno::NOTTY => Some("the running kernel is too old for this call"),
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
            (Self::MapFile { .. }, Errno::NODEV) => Some(
                "the device has taken its memory away (decoding off, D3, a reset): map it again once it is back",
            ),
            (Self::Copy { .. }, Errno::PERM) => {
                Some("the memory was mapped for reading alone: devices may not write to a copy of it either")
            }
            _ => None,
        }
    }

    fn object_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::Destroy { .. }, Errno::BUSY) => Some(
                "devices or other objects use it still, or its file is open elsewhere: detach, destroy, close them first",
            ),
            (Self::Unmap { .. }, Errno::NOENT) => {
                Some("nothing is mapped there, or only a part of a mapping was named: mappings go as a whole")
            }
            (Self::Unmap { .. }, Errno::BUSY) => {
                Some("somebody uses the mapping still: a hardware queue that lies there is closed first")
            }
            (Self::AllowIovas { .. }, Errno::ADDRINUSE) => {
                Some("the attached devices cannot use all of these IOVAs: take them from the usable ranges")
            }
            (Self::ChangeProcess { .. }, Errno::INVAL) => {
                Some("only mappings of files can pass to another process: map guest memory by memfd")
            }
            (Self::ChangeProcess { .. }, Errno::NOMEM) => Some("raise RLIMIT_MEMLOCK of this process"),
            (Self::HwInfo { .. }, Errno::OPNOTSUPP) => Some("the device's IOMMU has no data of this type"),
            (Self::HwInfo { .. }, Errno::NOENT) => Some(GONE),
            (Self::Respond { .. }, Errno::INVAL) => {
                Some("this group was answered before, by the program or because its device was detached")
            }
            (Self::HugePages { to: Some(false), .. }, Errno::INVAL) => {
                Some("huge pages can be forbidden only before memory is mapped for a device")
            }
            _ => None,
        }
    }

    fn hwpt_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::HwptAlloc { .. }, Errno::OPNOTSUPP) => Some(
                "the device's IOMMU, or the kernel's driver for it, has no such page table: leave options out",
            ),
            (Self::HwptAlloc { .. }, Errno::INVAL) => Some(
                "it must be over an I/O address space, or for a guest's over a nest parent of the same IOMMU, with data that fit it",
            ),
            (Self::HwptAlloc { .. }, Errno::NOENT) => Some(GONE),
            (Self::DirtyTracking { .. } | Self::DirtyBitmap { .. }, Errno::OPNOTSUPP) => {
                Some("allocate the page table with dirty tracking")
            }
            (Self::DirtyTracking { .. } | Self::DirtyBitmap { .. }, Errno::NOENT) => {
                Some("a guest's page table has no dirty tracking: ask its parent")
            }
            (Self::DirtyBitmap { .. }, Errno::INVAL | Errno::OVERFLOW) => Some(
                "the page size must be a power of two, the range be of whole pages, and the bitmap have a bit for each",
            ),
            (Self::Invalidate { .. }, Errno::OPNOTSUPP | Errno::INVAL) => Some(
                "a guest's page table and a virtual IOMMU take what their own IOMMU defines, in whole entries, up to 2^19",
            ),
            (Self::Invalidate { .. }, Errno::IO) => Some("the kernel does not pass this command on"),
            _ => None,
        }
    }

    fn viommu_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::ViommuAlloc { .. }, Errno::INVAL | Errno::NOENT) => {
                Some("the device must be bound to this context, and the page table be a nest parent")
            }
            (Self::Mmap { .. }, Errno::NXIO | Errno::INVAL) => {
                Some("only the area that the kernel named can be mapped, and only as a whole")
            }
            (Self::VdeviceAlloc { .. }, Errno::EXIST) => {
                Some("the device is behind a virtual IOMMU already, or the guest's number is another's")
            }
            (Self::VdeviceAlloc { .. }, Errno::INVAL) => {
                Some("the device is not behind the physical IOMMU that this is a part of")
            }
            (Self::VdeviceAlloc { .. }, Errno::NOENT) => Some(GONE),
            (Self::VeventQueueAlloc { .. }, Errno::EXIST) => {
                Some("it has a queue for events of this type already")
            }
            (Self::VeventQueueAlloc { .. }, Errno::TOOBIG) => {
                Some("the struct of an event has 4096 bytes at most")
            }
            (Self::VeventQueueAlloc { .. }, Errno::INVAL) => Some("a queue has room for 1 to 2^19 events"),
            (Self::HwQueueAlloc { .. }, Errno::EXIST) => Some("it has a queue of this number already"),
            (Self::HwQueueAlloc { .. }, Errno::INVAL) => {
                Some("the hardware has no queue of this number, or the memory is a device's")
            }
            (Self::HwQueueAlloc { .. }, Errno::IO) => Some("queues are made in the order of their number"),
            (Self::HwQueueAlloc { .. }, Errno::NOENT) => Some("the memory is not all mapped at this IOVA"),
            (Self::HwQueueAlloc { .. }, Errno::PERM) => Some("the memory must be mapped for reading"),
            (Self::HwQueueAlloc { .. }, Errno::FAULT) => {
                Some("the memory must be of one piece: put it into one huge page")
            }
            (_, Errno::OPNOTSUPP) => {
                Some("the device's IOMMU, or the kernel's driver for it, has nothing of this type")
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

fn noiommu_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::OPNOTSUPP => Some(
            "only for memory that is mapped for a device without an IOMMU; the kernel needs CONFIG_VFIO_NOIOMMU",
        ),
        Errno::PERM => Some("CAP_SYS_RAWIO is needed: run this as root"),
        Errno::NOENT => Some("nothing is mapped at this IOVA: map it first"),
        Errno::INVAL => Some("ask for at least one byte; a dma-buf's memory must not have been taken away"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Iova};

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
    fn noiommu_query_has_a_hint_for_each_refusal() {
        let refusals = [
            (Errno::NOTTY, "too old"),
            (Errno::OPNOTSUPP, "CONFIG_VFIO_NOIOMMU"),
            (Errno::PERM, "CAP_SYS_RAWIO"),
            (Errno::NOENT, "map it first"),
            (Errno::INVAL, "at least one byte"),
        ];
        for (errno, words) in refusals {
            let error = Error::NoiommuGetPa { ioas: 7, iova: 0x4000, length: 0x10, source: errno.into() };
            assert!(error.hint().is_some_and(|hint| hint.contains(words)), "{errno}: {:?}", error.hint());
            assert!(error.to_string().contains("0x10 bytes at IOVA 0x4000"), "{error}");
        }
    }

    #[test]
    fn a_kernel_that_lacks_a_call_is_said_to_be_too_old() {
        let error = Error::ChangeProcess { source: Errno::NOTTY.into() };
        assert!(error.hint().unwrap().contains("too old"));
    }
}
