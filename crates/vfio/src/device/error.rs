//! What goes wrong with a device, and what the user can do then.

use crate::BadCapability;
use rustix::io::Errno;
use std::ops::Range;
use std::path::PathBuf;
use std::{fmt, io};

/// What went wrong with a device. Each variant names the device, the call and its arguments; the kernel's answer is
/// the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such device.
    #[error("there is no device {}", path.display())]
    NoDevice {
        /// Where it was looked for.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The device has no character device.
    #[error("{} has no VFIO character device", sysfs.display())]
    NoCdev {
        /// The device in sysfs.
        sysfs: PathBuf,
    },
    /// The device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A descriptor is open, but is no VFIO device's.
    #[error("the descriptor is no VFIO character device: {what}")]
    NotVfio {
        /// What it is, or what the kernel answered.
        what: String,
    },
    /// The open file was bound to an iommufd before.
    #[error("the VFIO device {} was bound to an iommufd before; its open file can be bound once only", sysfs.display())]
    Bound {
        /// The device in sysfs.
        sysfs: PathBuf,
    },
    /// The device could not be bound.
    #[error("cannot bind {device} to the iommufd{} (VFIO_DEVICE_BIND_IOMMUFD)", if *token { " with this token" } else { "" })]
    Bind {
        /// The device.
        device: String,
        /// Whether a token was given.
        token: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device could not be attached.
    #[error("cannot attach {device}{} to object {pt_id} (VFIO_DEVICE_ATTACH_IOMMUFD_PT)", of_pasid(*pasid))]
    Attach {
        /// The device.
        device: String,
        /// The address space or page table.
        pt_id: u32,
        /// Which PASID of it.
        pasid: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The target is of another iommufd than the device.
    #[error("object {pt_id} is of another iommufd than the one that {device} is bound to")]
    OtherContext {
        /// The device.
        device: String,
        /// The address space or page table.
        pt_id: u32,
    },
    /// The device could not be detached.
    #[error("cannot detach {device}{} (VFIO_DEVICE_DETACH_IOMMUFD_PT)", of_pasid(*pasid))]
    Detach {
        /// The device.
        device: String,
        /// Which PASID of it.
        pasid: Option<u32>,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device did not say what it is.
    #[error("cannot ask {device} what it is (VFIO_DEVICE_GET_INFO)")]
    Info {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device could not be reset.
    #[error("cannot reset {device} (VFIO_DEVICE_RESET)")]
    Reset {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not describe a region.
    #[error("cannot ask {device} for region {index} (VFIO_DEVICE_GET_REGION_INFO)")]
    RegionInfo {
        /// The device.
        device: String,
        /// The region.
        index: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What the kernel said is not well formed.
    #[error("the capabilities of {of} of {device} are malformed")]
    Capabilities {
        /// The device.
        device: String,
        /// Of what.
        of: String,
        /// What is wrong.
        source: BadCapability,
    },
    /// An access is outside of its region or mapping, not aligned to its width, or not possible there.
    #[error("{access} is outside of its {size:#x} bytes, not aligned to its width, or not possible there")]
    Range {
        /// What was to be accessed.
        access: Access,
        /// The size of the region or mapping.
        size: u64,
    },
    /// A region could not be read.
    #[error("cannot read {access}")]
    Read {
        /// What was to be read.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A region could not be written.
    #[error("cannot write {access}")]
    Write {
        /// What was to be written.
        access: Access,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Less was read or written than was asked for.
    #[error("only {done} bytes were transferred of {access}")]
    Short {
        /// What was to be accessed.
        access: Access,
        /// How many bytes were.
        done: usize,
    },
    /// A part of a region could not be mapped.
    #[error("cannot map {range:#x?} of region {region} of {device} into memory")]
    Mmap {
        /// The device.
        device: String,
        /// The region.
        region: u32,
        /// Which part.
        range: Range<u64>,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// An access to a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The device.
    pub device: String,
    /// The region's index.
    pub region: u32,
    /// Where in the region or mapping.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, region, offset, length } = self;
        write!(f, "{length} bytes at {offset:#x} of region {region} of {device}")
    }
}

impl Error {
    /// Returns the kernel's answer, where it was one.
    pub fn io(&self) -> Option<&io::Error> {
        std::error::Error::source(self)?.downcast_ref()
    }

    /// Returns the number of the kernel's answer.
    pub(crate) fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(self.io()?)
    }

    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.errno()) {
            (Self::NoCdev { .. }, _) => {
                Some("bind it to a VFIO driver (passthru bind); the kernel needs CONFIG_VFIO_DEVICE_CDEV")
            }
            (Self::Open { .. }, Some(Errno::ACCESS | Errno::PERM)) => Some("run this as root"),
            (Self::Open { .. }, Some(Errno::NOENT)) => {
                Some("is the device bound to a VFIO driver? (passthru bind)")
            }
            (Self::Open { .. } | Self::Bind { .. }, Some(Errno::BUSY)) => {
                Some("another process has the device open, or its group through /dev/vfio/GROUP")
            }
            (Self::NotVfio { .. }, _) => {
                Some("open /dev/vfio/devices/vfioN of the device and hand in that descriptor")
            }
            (Self::Bound { .. }, _) => Some("open the device anew for each guest"),
            (Self::Bind { token: false, .. }, Some(Errno::ACCESS)) => {
                Some("its physical function is assigned too: give the token that was set there")
            }
            (Self::Bind { token: true, .. }, Some(Errno::ACCESS)) => {
                Some("the token is not the one that was set on the physical function")
            }
            (Self::Bind { token: true, .. }, Some(Errno::INVAL)) => {
                Some("only virtual functions of an assigned physical function take a token")
            }
            (Self::Bind { .. }, Some(Errno::INVAL)) => {
                Some("the device is in use: another open file of it is bound")
            }
            (Self::Attach { pasid: Some(_), .. }, Some(Errno::OPNOTSUPP)) => {
                Some("the device, its driver or the IOMMU has no PASIDs")
            }
            (Self::Attach { .. }, Some(Errno::BUSY)) => {
                Some("it is attached already: replace or detach that first")
            }
            (Self::Attach { .. }, Some(Errno::NOENT)) => Some("the address space or page table is gone"),
            (Self::Reset { .. }, Some(Errno::INVAL | Errno::NOTTY)) => {
                Some("the device cannot be reset by itself; a hot reset of its bus may do")
            }
            (Self::Read { .. } | Self::Write { .. }, Some(Errno::IO)) => Some(
                "the device does not decode its memory: set bit 1 of the command register, or wake it up",
            ),
            (Self::Mmap { .. }, Some(Errno::INVAL)) => {
                Some("only whole pages of what Region::areas lists can be mapped")
            }
            _ => None,
        }
    }
}

fn of_pasid(pasid: Option<u32>) -> String {
    pasid.map_or_else(String::new, |pasid| format!(" under PASID {pasid}"))
}
