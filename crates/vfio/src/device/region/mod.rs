//! [`Region`]: a part of a device that is read, written and mapped: a BAR, its configuration space, its ROM, and what
//! drivers add.

mod access;
mod info;

use crate::device::{Device, Error};
use std::collections::BTreeMap;
use std::ops::Range;
use vfio_bindings::bindings::vfio::*;

/// A region of a device, by its index. It keeps the device open.
///
/// ```no_run
/// # use passthru_vfio::device::{Device, Error, Region};
/// # fn with(device: &Device) -> Result<(), Error> {
/// let config = device.region(Region::CONFIG)?;
/// let vendor: u16 = config.read(0)?;
/// let bar = device.region(Region::BAR0)?;
/// bar.write(0x20, 0x80u32)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Region {
    device: Device,
    index: u32,
    info: Info,
}

/// What the kernel says of a region (`VFIO_DEVICE_GET_REGION_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Info {
    flags: u32,
    size: u64,
    /// Where it begins in the device's file.
    offset: u64,
    areas: Vec<Range<u64>>,
    kind: Option<RegionType>,
    msix_mappable: bool,
}

/// What a region is that a driver added (`VFIO_REGION_INFO_CAP_TYPE`): numbers of `linux/vfio.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionType {
    /// `VFIO_REGION_TYPE_…`.
    pub kind: u32,
    /// `VFIO_REGION_SUBTYPE_…` of it.
    pub subtype: u32,
}

impl Region {
    /// `VFIO_PCI_BAR0_REGION_INDEX`; the other five BARs follow.
    pub const BAR0: u32 = VFIO_PCI_BAR0_REGION_INDEX;
    /// `VFIO_PCI_ROM_REGION_INDEX`.
    pub const ROM: u32 = VFIO_PCI_ROM_REGION_INDEX;
    /// `VFIO_PCI_CONFIG_REGION_INDEX`.
    pub const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;
    /// `VFIO_PCI_VGA_REGION_INDEX`.
    pub const VGA: u32 = VFIO_PCI_VGA_REGION_INDEX;

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns its index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns its size in bytes; 0 where the device does not have it, as a BAR that it does not
    /// use.
    pub fn size(&self) -> u64 {
        self.info.size
    }

    /// Whether it can be read.
    pub fn readable(&self) -> bool {
        self.info.flags & VFIO_REGION_INFO_FLAG_READ != 0
    }

    /// Whether it can be written.
    pub fn writable(&self) -> bool {
        self.info.flags & VFIO_REGION_INFO_FLAG_WRITE != 0
    }

    /// Returns the parts of it that can be mapped, in rising order: all of it, or what
    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP` lists; none where it cannot be mapped.
    pub fn areas(&self) -> &[Range<u64>] {
        &self.info.areas
    }

    /// Returns what it is, where a driver added it.
    pub fn kind(&self) -> Option<RegionType> {
        self.info.kind
    }

    /// Whether the MSI-X table in it can be mapped with the rest
    /// (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    pub fn msix_mappable(&self) -> bool {
        self.info.msix_mappable
    }
}

impl Device {
    /// Asks for the region with this index, which need not exist ([`Region::size`]).
    ///
    /// # Errors
    /// [`Error::RegionInfo`], also for an index that the device does not know;
    /// [`Error::Capabilities`].
    pub fn region(&self, index: u32) -> Result<Region, Error> {
        Ok(Region {
            device: self.clone(),
            index,
            info: info::ask(self, index)?,
        })
    }

    /// Asks for all regions that exist, by their index.
    ///
    /// # Errors
    /// As [`Device::region`], but for indexes that the device does not know.
    pub fn regions(&self) -> Result<BTreeMap<u32, Region>, Error> {
        let mut regions = BTreeMap::new();
        for index in 0..self.info()?.regions {
            match self.region(index) {
                Ok(region) if region.size() > 0 => drop(regions.insert(index, region)),
                Ok(_) => {}
                Err(error) if error.errno() == Some(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(regions)
    }
}
