//! What the user can do when a container refuses.

use super::Error;
use crate::container::Backend;
use crate::device::{MANY_FILES, NO_IOMMU};
use rustix::io::Errno;

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Iommufd(error) => error.hint(),
            Self::Device(error) => error.hint(),
            Self::Unsupported { backend: Backend::Type1, .. } => Some("the backend iommufd can"),
            Self::NoType1 { extension: "VFIO_UNMAP_ALL" } => {
                Some("the kernel needs to be Linux 5.12 or later")
            }
            Self::NoBackend { .. } | Self::NoType1 { .. } => Some(
                "the kernel needs CONFIG_IOMMUFD with CONFIG_VFIO_DEVICE_CDEV, or CONFIG_VFIO_IOMMU_TYPE1",
            ),
            Self::NoGroup { .. } => {
                Some("turn the IOMMU on, in the firmware and on the kernel's command line")
            }
            Self::NoIommu { .. } => Some(NO_IOMMU),
            Self::NotViable { blockers, .. } if blockers.is_empty() => {
                Some("another process or another container has a device of the group")
            }
            Self::NotViable { .. } => Some(
                "devices of a group go together: bind these to vfio-pci too, or leave them without a driver",
            ),
            Self::PerhapsMapped { .. } => {
                Some("neither free the memory nor use these IOVAs again before the container has gone")
            }
            Self::NotOwned { .. } => {
                Some("all devices of the bus or slot go together: attach these too, on the same backend")
            }
            Self::InUse { .. } => {
                Some("drop the other handles, the mappings of its BARs and the proofs first")
            }
            Self::Pinned { .. } => Some(
                "detach these first, end dirty tracking, and drop their page tables and proofs; a balloon goes with mediated devices alone, virtio-mem with any",
            ),
            Self::Discarding { .. } => Some("attach it when the balloon is at rest"),
            Self::NoDevice => Some("attach a device first"),
            Self::NoDirtyTracking { .. } => Some("without it, all that devices may write to counts as dirty"),
            Self::OtherTable => Some("allocate it over what Dma::ioas gives"),
            Self::NotTracking => Some("begin it first"),
            Self::Bitmap { .. } => Some("a page size is a power of two, and a word has the bits of 64 pages"),
            _ => self.answer_hint(Errno::from_io_error(self.io()?)?),
        }
    }

    /// A hint for what the kernel answered to type1's calls.
    fn answer_hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (_, Errno::MFILE) => Some(MANY_FILES),
            (Self::Open { .. }, Errno::ACCESS | Errno::PERM) => Some("run this as root"),
            (Self::Open { .. }, Errno::NOENT | Errno::NODEV) => {
                Some("is the device bound to a VFIO driver? (passthru bind)")
            }
            (Self::Open { .. }, Errno::BUSY) => {
                Some("another process or container has the group, or a device of it by its character device")
            }
            (Self::Join { .. }, Errno::INVAL) => Some(
                "what is mapped is where a device of the group cannot have it: use a container of its own",
            ),
            (Self::GroupDevice { .. }, Errno::NODEV) => {
                Some("is the device bound to a VFIO driver? (passthru bind)")
            }
            (Self::GroupDevice { token: false, .. }, Errno::ACCESS) => {
                Some("its physical function is assigned too: give the token that was set there")
            }
            (Self::GroupDevice { token: true, .. }, Errno::ACCESS) => {
                Some("the token is not the one that was set on the physical function")
            }
            (Self::Join { .. }, Errno::PERM) => Some(
                "the machine has no interrupt remapping: turn it on in the firmware, or set vfio_iommu_type1.allow_unsafe_interrupts=1 and trust the guest",
            ),
            (Self::Map { .. } | Self::Join { .. }, Errno::NOMEM) => Some(
                "pinned memory counts against RLIMIT_MEMLOCK: raise it (ulimit -l, LimitMEMLOCK=) to the memory that devices reach and a little more",
            ),
            (Self::Map { .. }, Errno::NOSPC) => Some(
                "a type1 container holds 65,535 mappings, if vfio_iommu_type1.dma_entry_limit says no other: map larger pieces, or use iommufd",
            ),
            (Self::Map { .. }, Errno::EXIST) => {
                Some("something is mapped there already: unmap it first, or take another IOVA")
            }
            (Self::Map { .. }, Errno::INVAL) => Some(
                "the range must lie in the usable IOVA ranges, which the attached devices narrow, and be a multiple of the page size",
            ),
            (Self::Map { .. }, Errno::FAULT) => Some("the memory is not all there, or is read-only"),
            (Self::Unmap { .. }, Errno::NOENT) => Some("nothing is mapped there"),
            (Self::Unmap { .. }, Errno::INVAL) => {
                Some("only a part of a mapping was named: mappings go as a whole")
            }
            (Self::DirtyPages { .. }, Errno::INVAL) => Some(
                "dirty tracking must be on, the page size the smallest of the container's, and no mapping may be cut",
            ),
            _ => None,
        }
    }
}
