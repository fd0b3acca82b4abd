//! [`Region`]: a BAR of a device, its configuration space, its ROM, or a region that its driver
//! adds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use vfio_bindings::bindings::vfio::*;

use crate::device::region_info::{self, RegionInfo};
use crate::device::{Device, Error, RegionAccess, RegionType, Word};
use crate::sys;

/// A region of a device, by its index. It keeps the device open.
///
/// [`Region::read`] and [`Region::write`] go through the kernel and work for all regions;
/// [`Region::mmap`] maps an area into the process. An access through the kernel is ordered by
/// barriers: earlier writes, also to DMA memory, reach the device first. Later reads are at least
/// as new.
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
    info: RegionInfo,
}

impl Region {
    /// First BAR (`VFIO_PCI_BAR0_REGION_INDEX`); the indexes of the other five follow.
    pub const BAR0: u32 = VFIO_PCI_BAR0_REGION_INDEX;
    /// Expansion ROM (`VFIO_PCI_ROM_REGION_INDEX`).
    pub const ROM: u32 = VFIO_PCI_ROM_REGION_INDEX;
    /// PCI configuration space (`VFIO_PCI_CONFIG_REGION_INDEX`).
    pub const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;
    /// Legacy VGA ranges (`VFIO_PCI_VGA_REGION_INDEX`).
    pub const VGA: u32 = VFIO_PCI_VGA_REGION_INDEX;

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the index of the region.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns the size in bytes; 0 if the device does not have the region, such as an unused BAR.
    pub fn size(&self) -> u64 {
        self.info.size
    }

    /// Returns whether the region can be read (`VFIO_REGION_INFO_FLAG_READ`).
    pub fn readable(&self) -> bool {
        self.info.flags & VFIO_REGION_INFO_FLAG_READ != 0
    }

    /// Returns whether the region can be written (`VFIO_REGION_INFO_FLAG_WRITE`).
    pub fn writable(&self) -> bool {
        self.info.flags & VFIO_REGION_INFO_FLAG_WRITE != 0
    }

    /// Returns the parts that can be mapped, in rising order: all of the region, or the areas of
    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`. Empty if the region cannot be mapped.
    pub fn areas(&self) -> &[Range<u64>] {
        &self.info.areas
    }

    /// Returns the type of a region that the driver adds; `None` for the others.
    pub fn region_type(&self) -> Option<RegionType> {
        self.info.region_type
    }

    /// Returns whether the MSI-X table can be mapped with the rest of the region
    /// (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    pub fn msix_mappable(&self) -> bool {
        self.info.msix_mappable
    }

    /// Reads a number in one access of its width, at an offset in bytes.
    ///
    /// # Errors
    /// - If the access is outside of the region or not aligned to its width, [`Error::Range`].
    /// - If the kernel refuses, [`Error::Read`]; `EIO` if the device does not decode its memory.
    pub fn read<T: Word>(&self, offset: u64) -> Result<T, Error> {
        self.check_word::<T>(offset)?;
        T::read(|bytes| self.read_bytes(offset, bytes))
    }

    /// Writes a number in one access of its width, at an offset in bytes.
    ///
    /// # Errors
    /// - If the access is outside of the region or not aligned to its width, [`Error::Range`].
    /// - If the kernel refuses, [`Error::Write`]; `EIO` if the device does not decode its memory.
    pub fn write<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        self.check_word::<T>(offset)?;
        value.write(|bytes| self.write_bytes(offset, bytes))
    }

    /// Reads bytes, in accesses of widths that the kernel chooses.
    ///
    /// # Errors
    /// - If the access is outside of the region, [`Error::Range`].
    /// - If the kernel refuses, [`Error::Read`].
    /// - If the kernel read fewer bytes, [`Error::Short`]; the rest of `bytes` is not set.
    pub fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let access = self.check(offset, bytes.len() as u64, 1)?;
        match rustix::io::pread(self.device.as_fd(), &mut *bytes, self.in_file(offset)) {
            Ok(done) if done == bytes.len() => Ok(()),
            Ok(done) => Err(Error::Short { access, done }),
            Err(e) => Err(Error::Read {
                access,
                source: e.into(),
            }),
        }
    }

    /// Writes bytes, in accesses of widths that the kernel chooses.
    ///
    /// # Errors
    /// - If the access is outside of the region, [`Error::Range`].
    /// - If the kernel refuses, [`Error::Write`].
    /// - If the kernel wrote fewer bytes, [`Error::Short`].
    pub fn write_bytes(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let access = self.check(offset, bytes.len() as u64, 1)?;
        match rustix::io::pwrite(self.device.as_fd(), bytes, self.in_file(offset)) {
            Ok(done) if done == bytes.len() => Ok(()),
            Ok(done) => Err(Error::Short { access, done }),
            Err(e) => Err(Error::Write {
                access,
                source: e.into(),
            }),
        }
    }

    fn check_word<T: Word>(&self, offset: u64) -> Result<RegionAccess, Error> {
        self.check(offset, size_of::<T>() as u64, size_of::<T>() as u64)
    }

    /// Checks an access. One outside of the region would reach another region of the device's file.
    pub(super) fn check(
        &self,
        offset: u64,
        length: u64,
        alignment: u64,
    ) -> Result<RegionAccess, Error> {
        let access = RegionAccess {
            device: self.device.name(),
            region: self.index,
            offset,
            length,
        };
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= self.info.size);
        if inside && offset.is_multiple_of(alignment) {
            Ok(access)
        } else {
            Err(Error::Range {
                access,
                size: self.info.size,
            })
        }
    }

    /// Returns the place of an offset in the device's file.
    pub(super) fn in_file(&self, offset: u64) -> u64 {
        self.info.offset.saturating_add(offset)
    }

    /// Lets the kernel write `value` at `offset` each time that the eventfd is signalled
    /// (`VFIO_DEVICE_IOEVENTFD`).
    ///
    /// With vfio-pci the region is a BAR that can be mapped, and the offset is outside of its MSI-X
    /// table.
    ///
    /// # Errors
    /// - If the access is outside of the region or not aligned to its width, [`Error::Range`].
    /// - If the kernel refuses, [`Error::Ioeventfd`]; `EEXIST` if another eventfd writes this value
    ///   there.
    pub fn set_ioeventfd<T: Word>(
        &self,
        offset: u64,
        value: T,
        eventfd: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        self.ioeventfd(offset, value, Some(eventfd))
    }

    /// Removes the eventfd that writes `value` at `offset`.
    ///
    /// # Errors
    /// [`Error::Ioeventfd`], also if none is set for this value, width and place.
    pub fn clear_ioeventfd<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        self.ioeventfd(offset, value, None)
    }

    fn ioeventfd<T: Word>(
        &self,
        offset: u64,
        value: T,
        event: Option<BorrowedFd<'_>>,
    ) -> Result<(), Error> {
        let width = size_of::<T>() as u64;
        let access: RegionAccess = self.check(offset, width, width)?;
        let fd = self.device().as_fd();
        let value = value.into();
        sys::device::ioeventfd(fd, width as u32, self.in_file(offset), value, event).map_err(|e| {
            Error::Ioeventfd {
                access,
                value,
                source: e.into(),
            }
        })
    }

    /// Exports a part of a BAR as a dma-buf (`VFIO_DEVICE_FEATURE_DMA_BUF`).
    ///
    /// `range` is in bytes of the region, and begins and ends on pages.
    /// [`Ioas::map_file`](passthru_iommufd::Ioas::map_file) maps the dma-buf for another device. It
    /// takes dma-bufs of one range, so export each of [`Region::areas`] of a split BAR by itself.
    ///
    /// A mapping is emptied when the device stops decoding its memory, sleeps or is reset. The
    /// kernel neither fills the mapping again nor frees its IOVA. Unmap it before, and map it again
    /// after.
    ///
    /// ```no_run
    /// # use passthru_iommufd::{Access, Ioas, Iova};
    /// # use passthru_vfio::device::Region;
    /// # fn with(bar: &Region, ioas: &Ioas) -> Result<(), Box<dyn std::error::Error>> {
    /// let file = bar.dma_buf(0..bar.size())?;
    /// let iova = ioas.map_file(&file, 0, bar.size(), Iova::Any, Access::ReadWrite)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DmaBuf`].
    pub fn dma_buf(&self, range: Range<u64>) -> Result<OwnedFd, Error> {
        sys::feature::dma_buf(self.device().as_fd(), self.index(), &range).map_err(|e| {
            Error::DmaBuf {
                device: self.device().name(),
                region: self.index(),
                range,
                source: e.into(),
            }
        })
    }
}

impl Device {
    /// Returns the region with this index, which need not exist: see [`Region::size`].
    ///
    /// # Errors
    /// - If the kernel refuses, [`Error::RegionInfo`]; `EINVAL` if the device does not know the
    ///   index.
    /// - If the reply is malformed, [`Error::Capabilities`].
    pub fn region(&self, index: u32) -> Result<Region, Error> {
        Ok(Region {
            device: self.clone(),
            index,
            info: region_info::ask(self, index)?,
        })
    }

    /// Returns all regions that exist, by their index.
    ///
    /// # Errors
    /// As for [`Device::region`]. Indexes that the device does not know are left out instead.
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
