//! Hints for failures of a container.

use rustix::io::Errno;

use super::{Backend, Error};
use crate::device::{MANY_FILES, NO_IOMMU};

impl Error {
    /// Returns what the user can do, as an imperative; `None` if nothing is known to help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Iommufd(error) => error.hint(),
            Self::Device(error) => error.hint(),
            Self::Unsupported {
                backend: Backend::Type1,
                ..
            } => Some("use the backend iommufd"),
            Self::NoType1 {
                extension: "VFIO_UNMAP_ALL",
            } => Some("use Linux 5.12 or later"),
            Self::NoBackend { .. } | Self::NoType1 { .. } => Some(
                "use a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, or with \
                 CONFIG_VFIO_IOMMU_TYPE1",
            ),
            Self::NoGroup { .. } => {
                Some("turn the IOMMU on, in the firmware and on the kernel's command line")
            }
            Self::NoIommu { .. } => Some(NO_IOMMU),
            Self::NotViable { blockers, .. } if blockers.is_empty() => {
                Some("close the group's devices in the other process or container that has them")
            }
            Self::NotViable { .. } => {
                Some("bind these devices to vfio-pci too, or leave them without a driver")
            }
            Self::PerhapsMapped { .. } => Some(
                "do not free the memory or use these IOVAs again before the container is closed",
            ),
            Self::NotOwned { .. } => {
                Some("attach all devices of the bus or slot, on the same backend")
            }
            Self::InUse { .. } => {
                Some("drop the other handles, the mappings of its BARs and the proofs first")
            }
            Self::Pinned { .. } => Some(
                "detach these first, end dirty tracking, and drop their page tables and proofs; \
                 only mediated devices go with a balloon",
            ),
            Self::Discarding { .. } => Some("attach it when the balloon is at rest"),
            Self::NoDevice => Some("attach a device first"),
            Self::NoDirtyTracking { .. } => {
                Some("count all memory that devices may write to as dirty")
            }
            Self::OtherTable => Some("allocate the page table over the address space of Dma::ioas"),
            Self::NotTracking => Some("start dirty tracking first"),
            Self::Bitmap { .. } => {
                Some("use a power of two as page size, and a word for each 64 pages")
            }
            _ => self.errno_hint(Errno::from_io_error(self.io()?)?),
        }
    }

    /// Returns a hint for the errno of a call of type1.
    fn errno_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (_, Errno::MFILE) => Some(MANY_FILES),
            (Self::Open { .. }, Errno::ACCESS | Errno::PERM) => Some("run this as root"),
            (Self::Open { .. }, Errno::NOENT | Errno::NODEV) => {
                Some("bind the device to a VFIO driver")
            }
            (Self::Open { .. }, Errno::BUSY) => Some(
                "close the group, or the character device of one of its devices, in the other \
                 process or container",
            ),
            (Self::Join { .. }, Errno::INVAL) => Some(
                "use a separate container: this one maps IOVAs that a device of the group cannot \
                 use",
            ),
            (Self::GroupDevice { .. }, Errno::NODEV) => Some("bind the device to a VFIO driver"),
            (Self::GroupDevice { token: false, .. }, Errno::ACCESS) => {
                Some("give the token that was set on its physical function, which is assigned too")
            }
            (Self::GroupDevice { token: true, .. }, Errno::ACCESS) => {
                Some("give the token that was set on the physical function")
            }
            (Self::Join { .. }, Errno::PERM) => Some(
                "turn interrupt remapping on in the firmware, or set \
                 vfio_iommu_type1.allow_unsafe_interrupts=1 if you trust the guest",
            ),
            (Self::Map { .. } | Self::Join { .. }, Errno::NOMEM) => Some(
                "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to a little more than the memory \
                 that devices reach: pinned memory counts against it",
            ),
            (Self::Map { .. }, Errno::NOSPC) => Some(
                "map larger pieces, raise vfio_iommu_type1.dma_entry_limit (65,535 unless set), \
                 or use iommufd",
            ),
            (Self::Map { .. }, Errno::EXIST) => {
                Some("unmap what is mapped there already, or use another IOVA")
            }
            (Self::Map { .. }, Errno::INVAL) => Some(
                "use a multiple of the page size within the usable IOVA ranges, which the \
                 attached devices narrow",
            ),
            (Self::Map { .. }, Errno::FAULT) => Some("use memory that is present and writable"),
            (Self::Unmap { .. }, Errno::NOENT) => Some("unmap only where something is mapped"),
            (Self::Unmap { .. }, Errno::INVAL) => Some("unmap whole mappings only"),
            (Self::DirtyPages { .. }, Errno::INVAL) => Some(
                "turn dirty tracking on, use the container's smallest page size, and name whole \
                 mappings",
            ),
            _ => None,
        }
    }
}
