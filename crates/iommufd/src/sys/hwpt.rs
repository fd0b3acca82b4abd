//! System calls on page tables.

use std::os::fd::BorrowedFd;

use iommufd_bindings::iommufd::*;
use rustix::io::{Errno, Result};
use rustix::ioctl::Opcode;

use super::{call, number, size};
use crate::DirtyRange;

const HWPT_ALLOC: Opcode = number(IOMMUFD_CMD_HWPT_ALLOC);
const HWPT_INVALIDATE: Opcode = number(IOMMUFD_CMD_HWPT_INVALIDATE);
const HWPT_SET_DIRTY_TRACKING: Opcode = number(IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING);
const HWPT_GET_DIRTY_BITMAP: Opcode = number(IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP);

/// Arguments of `IOMMU_HWPT_ALLOC`.
#[derive(Clone, Copy)]
pub(crate) struct AllocRequest<'a> {
    pub(crate) device: u32,
    pub(crate) parent: u32,
    pub(crate) flags: u32,
    pub(crate) fault_queue: u32,
    pub(crate) data_type: u32,
    pub(crate) data: &'a [u8],
}

/// Allocates a page table (`IOMMU_HWPT_ALLOC`); returns its id.
pub(crate) fn alloc(fd: BorrowedFd<'_>, request: AllocRequest<'_>) -> Result<u32> {
    let mut arg = iommu_hwpt_alloc {
        size: size::<iommu_hwpt_alloc>(),
        flags: request.flags,
        dev_id: request.device,
        pt_id: request.parent,
        data_type: request.data_type,
        data_len: request.data.len() as u32,
        data_uptr: request.data.as_ptr() as u64,
        fault_id: request.fault_queue,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads `data_len` bytes of the slice.
    unsafe { call::<HWPT_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_hwpt_id)
}

/// Starts or stops dirty tracking (`IOMMU_HWPT_SET_DIRTY_TRACKING`).
pub(crate) fn set_dirty_tracking(fd: BorrowedFd<'_>, hwpt_id: u32, on: bool) -> Result<()> {
    let mut arg = iommu_hwpt_set_dirty_tracking {
        size: size::<iommu_hwpt_set_dirty_tracking>(),
        flags: on.into(),
        hwpt_id,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<HWPT_SET_DIRTY_TRACKING, _>(fd, &mut arg) }
}

/// Reads dirty bits into `bitmap` (`IOMMU_HWPT_GET_DIRTY_BITMAP`).
///
/// # Safety
/// - The bitmap starts on a page, is whole pages long, and has a bit for each `page_size` bytes of
///   the range.
/// - `page_size` is a power of two, and the range is not empty.
///
/// The kernel may write to all pages of the bitmap. If the range ends within a huge page, the
/// kernel sets bits past the end of the range.
pub(crate) unsafe fn dirty_bitmap(
    fd: BorrowedFd<'_>,
    hwpt_id: u32,
    flags: u32,
    range: DirtyRange,
    bitmap: &mut [u64],
) -> Result<()> {
    let mut arg = iommu_hwpt_get_dirty_bitmap {
        size: size::<iommu_hwpt_get_dirty_bitmap>(),
        hwpt_id,
        flags,
        iova: range.iova,
        length: range.length,
        page_size: range.page_size,
        data: bitmap.as_mut_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel writes to the bitmap alone, by this function's
    // contract.
    unsafe { call::<HWPT_GET_DIRTY_BITMAP, _>(fd, &mut arg) }
}

/// Arguments of `IOMMU_HWPT_INVALIDATE`: an array of invalidations.
#[derive(Clone, Copy)]
pub(crate) struct InvalidationBatch<'a> {
    pub(crate) data_type: u32,
    pub(crate) entry_length: u32,
    pub(crate) entries: u32,
    /// The entries; at least `entries * entry_length` bytes.
    pub(crate) bytes: &'a [u8],
}

/// Invalidates cached entries (`IOMMU_HWPT_INVALIDATE`). A failure carries the number of entries
/// that the kernel handled before.
pub(crate) fn invalidate(
    fd: BorrowedFd<'_>,
    hwpt_id: u32,
    batch: InvalidationBatch<'_>,
) -> std::result::Result<(), (Errno, u32)> {
    let mut arg = iommu_hwpt_invalidate {
        size: size::<iommu_hwpt_invalidate>(),
        hwpt_id,
        data_uptr: batch.bytes.as_ptr() as u64,
        data_type: batch.data_type,
        entry_len: batch.entry_length,
        entry_num: batch.entries,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads `entry_num` times `entry_len` bytes of the
    // slice.
    unsafe { call::<HWPT_INVALIDATE, _>(fd, &mut arg) }.map_err(|e| (e, arg.entry_num))
}
