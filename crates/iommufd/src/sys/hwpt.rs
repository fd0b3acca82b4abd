//! The calls of page tables.

use std::os::fd::BorrowedFd;

use iommufd_bindings::iommufd::*;
use rustix::io::{Errno, Result};
use rustix::ioctl::Opcode;

use super::{call, number, size};

const HWPT_ALLOC: Opcode = number(IOMMUFD_CMD_HWPT_ALLOC);
const HWPT_INVALIDATE: Opcode = number(IOMMUFD_CMD_HWPT_INVALIDATE);
const HWPT_SET_DIRTY_TRACKING: Opcode = number(IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING);
const HWPT_GET_DIRTY_BITMAP: Opcode = number(IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP);

/// What a page table is made for and from.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) device: u32,
    pub(crate) parent: u32,
    pub(crate) flags: u32,
    pub(crate) fault_queue: u32,
    pub(crate) data_type: u32,
    pub(crate) data: &'a [u8],
}

/// `IOMMU_HWPT_ALLOC`: returns the id.
pub(crate) fn alloc(fd: BorrowedFd<'_>, plan: Plan<'_>) -> Result<u32> {
    let mut arg = iommu_hwpt_alloc {
        size: size::<iommu_hwpt_alloc>(),
        flags: plan.flags,
        dev_id: plan.device,
        pt_id: plan.parent,
        data_type: plan.data_type,
        data_len: plan.data.len() as u32,
        data_uptr: plan.data.as_ptr() as u64,
        fault_id: plan.fault_queue,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads `data_len` bytes of the slice.
    unsafe { call::<HWPT_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_hwpt_id)
}

/// `IOMMU_HWPT_SET_DIRTY_TRACKING`.
pub(crate) fn set_dirty_tracking(fd: BorrowedFd<'_>, hwpt_id: u32, on: bool) -> Result<()> {
    let size = size::<iommu_hwpt_set_dirty_tracking>();
    let mut arg = iommu_hwpt_set_dirty_tracking {
        size,
        flags: on.into(),
        hwpt_id,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<HWPT_SET_DIRTY_TRACKING, _>(fd, &mut arg) }
}

/// A piece of a page table, and how much of it a bit of a bitmap stands for.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) iova: u64,
    pub(crate) length: u64,
    pub(crate) page_size: u64,
}

/// `IOMMU_HWPT_GET_DIRTY_BITMAP`.
///
/// # Safety
/// The bitmap begins on a page, is whole pages long, and has a bit for each `page_size` bytes of
/// the piece; `page_size` is a power of two, and the length is not 0. The kernel writes to all of
/// the bitmap's pages, also past the piece's last bit, where the piece ends within a huge page.
pub(crate) unsafe fn dirty_bitmap(
    fd: BorrowedFd<'_>,
    hwpt_id: u32,
    flags: u32,
    piece: Piece,
    bitmap: &mut [u64],
) -> Result<()> {
    let (size, data) = (
        size::<iommu_hwpt_get_dirty_bitmap>(),
        bitmap.as_mut_ptr() as u64,
    );
    let Piece {
        iova,
        length,
        page_size,
    } = piece;
    let mut arg = iommu_hwpt_get_dirty_bitmap {
        size,
        hwpt_id,
        flags,
        iova,
        length,
        page_size,
        data,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel writes to the bitmap alone, by this function's
    // contract.
    unsafe { call::<HWPT_GET_DIRTY_BITMAP, _>(fd, &mut arg) }
}

/// An array of invalidations.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) data_type: u32,
    pub(crate) entry_length: u32,
    pub(crate) entries: u32,
    /// At least `entries` times `entry_length` bytes.
    pub(crate) bytes: &'a [u8],
}

/// `IOMMU_HWPT_INVALIDATE`: on failure it returns how many were handled before.
pub(crate) fn invalidate(
    fd: BorrowedFd<'_>,
    hwpt_id: u32,
    batch: Batch<'_>,
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
