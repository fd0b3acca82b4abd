//! The log of a device that records its own writes.

use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;

use passthru_iommufd::{DirtyRange, DmaMemory};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio::vfio_device_feature_dma_logging_range;

use crate::sys;

/// Converts a range of IOVAs for the kernel; `None` if it is empty, or covers all 64 bits.
pub(super) fn range(iovas: &RangeInclusive<u64>) -> Option<vfio_device_feature_dma_logging_range> {
    let less = iovas.end().checked_sub(*iovas.start())?;
    Some(vfio_device_feature_dma_logging_range {
        iova: *iovas.start(),
        length: less.checked_add(1)?,
    })
}

/// Reads the log into a bitmap.
///
/// The kernel gets whole pages of its own, since it may set bits up to the end of them. Each page
/// is written to first: if the kernel cannot fault one in, then it drops that page's bits without
/// an error.
#[allow(unsafe_code, reason = "the kernel writes to the bitmap")]
pub(super) fn read_log(
    device: BorrowedFd<'_>,
    range: DirtyRange,
    bitmap: &mut [u64],
) -> Result<(), Errno> {
    let bits = range.length.div_ceil(range.page_size.max(1));
    let words = usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX);
    let bitmap = bitmap
        .get_mut(..words)
        .filter(|_| range.page_size > 0 && words > 0)
        .ok_or(Errno::INVAL)?;
    let pages = DmaMemory::alloc(8 * words).map_err(|_| Errno::NOMEM)?;
    let page = rustix::param::page_size();
    for start in (0..pages.len()).step_by(page) {
        pages.write(start, &[0]);
    }
    // SAFETY: `pages` starts on a page, is whole pages long, and has a bit for each page of the
    // range.
    unsafe { sys::feature::dma_logging_report(device, range, pages.as_ptr()) }?;
    for (index, word) in bitmap.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        pages.read(8 * index, &mut bytes);
        let left = bits - 64 * index as u64;
        let mask = if left < 64 { (1 << left) - 1 } else { u64::MAX };
        *word |= u64::from_ne_bytes(bytes) & mask;
    }

    Ok(())
}
