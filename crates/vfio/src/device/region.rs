//! [`Region`]: a part of a device that is read, written and mapped: a BAR, its configuration space, its ROM, and what
//! drivers add.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use vfio_bindings::bindings::vfio::*;

use crate::device::region_info::{self, RegionInfo};
use crate::device::{Device, Error, RegionAccess, RegionType, Word};
use crate::sys;

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
    info: RegionInfo,
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
    pub fn region_type(&self) -> Option<RegionType> {
        self.info.region_type
    }

    /// Whether the MSI-X table in it can be mapped with the rest
    /// (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    pub fn msix_mappable(&self) -> bool {
        self.info.msix_mappable
    }

    /// Reads a number in one access of its width. What is read later, from memory for DMA too, is
    /// at least as new.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, or not aligned to its width; [`Error::Read`].
    pub fn read<T: Word>(&self, offset: u64) -> Result<T, Error> {
        self.check_word::<T>(offset)?;
        T::read(|bytes| self.read_bytes(offset, bytes))
    }

    /// Writes a number in one access of its width. What was written before, to memory for DMA too,
    /// reaches the device first.
    ///
    /// # Errors
    /// [`Error::Range`] where it is outside, or not aligned to its width; [`Error::Write`].
    pub fn write<T: Word>(&self, offset: u64, value: T) -> Result<(), Error> {
        self.check_word::<T>(offset)?;
        value.write(|bytes| self.write_bytes(offset, bytes))
    }

    /// Reads bytes, in accesses of whichever width the kernel chooses.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::Read`], also where the kernel read less: the bytes are then not
    /// all set.
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

    /// Writes bytes, in accesses of whichever width the kernel chooses.
    ///
    /// # Errors
    /// [`Error::Range`]; [`Error::Write`], also where the kernel wrote less.
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

    /// What lies outside would be another region in the device's file.
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

    /// Returns where an offset of it is in the device's file.
    pub(super) fn in_file(&self, offset: u64) -> u64 {
        self.info.offset.saturating_add(offset)
    }

    /// Lets the kernel write this value there each time that the eventfd is signalled
    /// (`VFIO_DEVICE_IOEVENTFD`). With vfio-pci it is a BAR that can be mapped, outside of its
    /// MSI-X table.
    ///
    /// # Errors
    /// [`Error::Ioeventfd`], also where this value is written there for another; [`Error::Range`].
    pub fn set_ioeventfd<T: Word>(
        &self,
        offset: u64,
        value: T,
        eventfd: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        self.ioeventfd(offset, value, Some(eventfd))
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`Error::Ioeventfd`], also where nothing is set for this value, width and place.
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
        let (fd, value) = (self.device().as_fd(), value.into());
        sys::device::ioeventfd(fd, width as u32, self.in_file(offset), value, event).map_err(|e| {
            Error::Ioeventfd {
                access,
                value,
                source: e.into(),
            }
        })
    }

    /// Makes a dma-buf of a part of a BAR, on page borders (`VFIO_DEVICE_FEATURE_DMA_BUF`). It is
    /// mapped for another device by `Ioas::map_file`, which takes dma-bufs of one range alone: for
    /// a BAR that is split, one is made for each of its [`Region::areas`].
    ///
    /// Such a mapping is emptied when the device ceases to decode its memory, goes to sleep or is
    /// reset, and the kernel neither fills it again nor frees its IOVA: it is unmapped before that,
    /// and mapped again after it.
    ///
    /// ```no_run
    /// # use passthru_iommufd::{RegionAccess, Ioas, Iova};
    /// # use passthru_vfio::device::Region;
    /// # fn with(bar: &Region, ioas: &Ioas) -> Result<(), Box<dyn std::error::Error>> {
    /// let file = bar.dma_buf(0..bar.size())?;
    /// let iova = ioas.map_file(&file, 0, bar.size(), Iova::Any, RegionAccess::ReadWrite)?;
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
    /// Asks for the region with this index, which need not exist ([`Region::size`]).
    ///
    /// # Errors
    /// [`Error::RegionInfo`], also for an index that the device does not know;
    /// [`Error::Capabilities`].
    pub fn region(&self, index: u32) -> Result<Region, Error> {
        Ok(Region {
            device: self.clone(),
            index,
            info: region_info::ask(self, index)?,
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
