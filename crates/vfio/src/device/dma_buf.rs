//! Parts of a BAR as dma-bufs, so that other devices reach them.

use crate::device::{Error, Region};
use crate::sys;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

impl Region {
    /// Makes a dma-buf of a part of a BAR, on page borders (`VFIO_DEVICE_FEATURE_DMA_BUF`). It is
    /// mapped for another device by `Ioas::map_file`, which takes dma-bufs of one range alone: for
    /// a BAR that is split, one is made for each of its [`Region::areas`].
    ///
    /// Such a mapping is emptied when the device ceases to decode its memory, goes to sleep or is
    /// reset, and the kernel neither fills it again nor frees its IOVA: it is unmapped before that,
    /// and mapped again after it.
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
