//! DMA logging: devices that note themselves which pages they write to, for migration.

use crate::device::{Device, Error, Feature};
use crate::sys;
use passthru_iommufd::DmaMemory;
use rustix::io::Errno;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use vfio_bindings::bindings::vfio::vfio_device_feature_dma_logging_range;

impl Device {
    /// Begins to log writes to these IOVAs, if possible in pages of this many bytes, and returns
    /// the size that the device chose (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`). All kernels take
    /// as many ranges as 16 bytes each fit into a page.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the device cannot do it or does it already.
    pub fn start_dma_logging(
        &self,
        page_size: u64,
        iovas: &[RangeInclusive<u64>],
    ) -> Result<u64, Error> {
        let failed = self.failed(Feature::DmaLoggingStart);
        let range = |iovas: &RangeInclusive<u64>| {
            let length = iovas
                .end()
                .checked_sub(*iovas.start())
                .and_then(|less| less.checked_add(1));
            Some(vfio_device_feature_dma_logging_range {
                iova: *iovas.start(),
                length: length?,
            })
        };
        let ranges: Option<Vec<_>> = iovas.iter().map(range).collect();
        let ranges = ranges.ok_or_else(|| failed(Errno::INVAL))?;
        sys::feature::dma_logging_start(self.as_fd(), page_size, &ranges).map_err(failed)
    }

    /// Ends it (`VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn stop_dma_logging(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::DmaLoggingStop as u32)
            .map_err(self.failed(Feature::DmaLoggingStop))
    }

    /// Adds the pages that the device wrote to since it was last asked: bit i of the bitmap stands
    /// for the page at `iova` + i × `page_size` (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`). Bits
    /// are added, never taken away.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the bitmap is too short; the log is then of no use, and all
    /// pages count as written.
    pub fn dma_logged(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        self.read_log(iova, length, page_size, bitmap)
            .map_err(self.failed(Feature::DmaLoggingReport))
    }

    /// The kernel is given pages of its own to write to, since it may set bits up to the end of
    /// them. They are written to before: where it finds no memory for one, it leaves out its bits
    /// without a word.
    #[allow(unsafe_code, reason = "the kernel writes to the bitmap")]
    fn read_log(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        bitmap: &mut [u64],
    ) -> Result<(), Errno> {
        let bits = length.div_ceil(page_size.max(1));
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX);
        let bitmap = bitmap
            .get_mut(..words)
            .filter(|_| page_size > 0 && words > 0)
            .ok_or(Errno::INVAL)?;
        let pages = DmaMemory::alloc(8 * words).map_err(|_| Errno::NOMEM)?;
        let page = rustix::param::page_size();
        (0..pages.len())
            .step_by(page)
            .for_each(|start| _ = pages.write(start, &[0]));
        // SAFETY: whole pages with a bit for each page of the range.
        unsafe {
            sys::feature::dma_logging_report(self.as_fd(), iova, length, page_size, pages.as_ptr())
        }?;
        for (index, word) in bitmap.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            pages.read(8 * index, &mut bytes);
            let left = bits - 64 * index as u64;
            let mask = if left < 64 { (1 << left) - 1 } else { u64::MAX };
            *word |= u64::from_ne_bytes(bytes) & mask;
        }
        Ok(())
    }
}
