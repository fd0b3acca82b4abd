//! DMA logging: devices that note themselves which pages they write to, for migration.

use crate::device::{Device, Error, Feature};
use crate::sys;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use vfio_bindings::bindings::vfio::vfio_device_feature_dma_logging_range;

impl Device {
    /// Begins to log writes to these IOVAs, if possible in pages of this many bytes, and returns the size that the
    /// device chose (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`). All kernels take as many ranges as 16 bytes each
    /// fit into a page.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the device cannot do it or does it already.
    pub fn start_dma_logging(&self, page_size: u64, iovas: &[RangeInclusive<u64>]) -> Result<u64, Error> {
        let failed = self.failed(Feature::DmaLoggingStart);
        let range = |iovas: &RangeInclusive<u64>| {
            let length = iovas.end().checked_sub(*iovas.start()).and_then(|less| less.checked_add(1));
            Some(vfio_device_feature_dma_logging_range { iova: *iovas.start(), length: length? })
        };
        let ranges: Option<Vec<_>> = iovas.iter().map(range).collect();
        let ranges = ranges.ok_or_else(|| failed(rustix::io::Errno::INVAL))?;
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

    /// Adds the pages that the device wrote to since it was last asked: bit i of the bitmap stands for the page at
    /// `iova` + i × `page_size` (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`). Bits are added, never taken away.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the bitmap is too short; the log is then of no use, and all pages count as
    /// written.
    pub fn dma_logged(
        &self,
        iova: u64,
        length: u64,
        page_size: u64,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        sys::feature::dma_logging_report(self.as_fd(), iova, length, page_size, bitmap)
            .map_err(self.failed(Feature::DmaLoggingReport))
    }
}
