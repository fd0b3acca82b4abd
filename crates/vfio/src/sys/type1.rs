//! Requests to `/dev/vfio/vfio`, and `VFIO_IOMMU_*` once a type1 IOMMU is set.

use std::os::fd::BorrowedFd;

use passthru_iommufd::{Access, DirtyRange};
use rustix::io::Result;
use rustix::ioctl::Opcode;
use vfio_bindings::bindings::vfio::*;

use super::ioctl::{MAX_REPLY, bytes, call, call_slice, call_value, number, size};

const GET_API_VERSION: Opcode = number(0);
const CHECK_EXTENSION: Opcode = number(1);
const SET_IOMMU: Opcode = number(2);
const GET_INFO: Opcode = number(12);
const MAP_DMA: Opcode = number(13);
const UNMAP_DMA: Opcode = number(14);
const DIRTY_PAGES: Opcode = number(17);

/// `struct vfio_iommu_type1_dma_unmap` with the bitmap that may follow it.
#[repr(C)]
struct Unmap {
    fixed: vfio_iommu_type1_dma_unmap,
    bitmap: vfio_bitmap,
}

/// `struct vfio_iommu_type1_dirty_bitmap` with the range that follows it.
#[repr(C)]
struct Dirty {
    fixed: vfio_iommu_type1_dirty_bitmap,
    range: vfio_iommu_type1_dirty_bitmap_get,
}

/// `VFIO_GET_API_VERSION`.
pub(crate) fn api_version(fd: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: the request has no argument.
    let version = unsafe { call_value::<GET_API_VERSION>(fd, 0) }?;
    Ok(version as u32)
}

/// `VFIO_CHECK_EXTENSION`.
pub(crate) fn has_extension(fd: BorrowedFd<'_>, extension: u32) -> Result<bool> {
    // SAFETY: the request takes a number.
    let answer = unsafe { call_value::<CHECK_EXTENSION>(fd, extension as usize) }?;
    Ok(answer > 0)
}

/// `VFIO_SET_IOMMU`.
pub(crate) fn set_iommu(fd: BorrowedFd<'_>, kind: u32) -> Result<()> {
    // SAFETY: the request takes a number.
    unsafe { call_value::<SET_IOMMU>(fd, kind as usize) }?;
    Ok(())
}

/// `VFIO_IOMMU_GET_INFO`: returns the struct, and the whole reply with its capabilities.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<(vfio_iommu_type1_info, Vec<u8>)> {
    let argsz = size::<vfio_iommu_type1_info>();
    let mut arg = vfio_iommu_type1_info {
        argsz,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_INFO, _>(fd, &mut arg) }?;
    let mut words = vec![0u32; (arg.argsz.clamp(argsz, MAX_REPLY) / 4) as usize];
    words[0] = 4 * words.len() as u32;
    // SAFETY: the request's struct with its array, as long as its size field; no addresses.
    unsafe { call_slice::<GET_INFO, _>(fd, &mut words) }?;
    arg.cap_offset = words[4];
    Ok((arg, bytes(&words)))
}

/// `VFIO_IOMMU_MAP_DMA`.
///
/// # Safety
/// The contract of [`crate::container::Dma::map`].
pub(crate) unsafe fn map(
    fd: BorrowedFd<'_>,
    vaddr: u64,
    size_in_bytes: u64,
    iova: u64,
    access: Access,
) -> Result<()> {
    let flags = match access {
        Access::Read => VFIO_DMA_MAP_FLAG_READ,
        Access::Write => VFIO_DMA_MAP_FLAG_WRITE,
        Access::ReadWrite => VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
    };
    let argsz = size::<vfio_iommu_type1_dma_map>();
    let mut arg = vfio_iommu_type1_dma_map {
        argsz,
        flags,
        vaddr,
        iova,
        size: size_in_bytes,
    };
    // SAFETY: the request's struct; the memory may be used by this function's contract.
    unsafe { call::<MAP_DMA, _>(fd, &mut arg) }?;
    Ok(())
}

/// `VFIO_IOMMU_UNMAP_DMA`: returns the number of bytes unmapped.
pub(crate) fn unmap(fd: BorrowedFd<'_>, iova: u64, length: u64) -> Result<u64> {
    unmap_with(fd, 0, iova, length, vfio_bitmap::default())
}

/// `VFIO_IOMMU_UNMAP_DMA` with `VFIO_DMA_UNMAP_FLAG_ALL`.
pub(crate) fn unmap_all(fd: BorrowedFd<'_>) -> Result<u64> {
    unmap_with(fd, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, vfio_bitmap::default())
}

/// `VFIO_IOMMU_UNMAP_DMA` with `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`. The kernel refuses a bitmap
/// that is too small.
pub(crate) fn unmap_dirty(
    fd: BorrowedFd<'_>,
    range: DirtyRange,
    bitmap: &mut [u64],
) -> Result<u64> {
    unmap_with(
        fd,
        VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
        range.iova,
        range.length,
        raw(range.page_size, bitmap),
    )
}

fn unmap_with(
    fd: BorrowedFd<'_>,
    flags: u32,
    iova: u64,
    length: u64,
    bitmap: vfio_bitmap,
) -> Result<u64> {
    let fixed = vfio_iommu_type1_dma_unmap {
        argsz: size::<Unmap>(),
        flags,
        iova,
        size: length,
        ..Default::default()
    };
    let mut arg = Unmap { fixed, bitmap };
    // SAFETY: the request's struct. The kernel writes at most `bitmap.size` bytes to the bitmap, a
    // borrowed slice, and only if the flag for it is set.
    unsafe { call::<UNMAP_DMA, _>(fd, &mut arg) }?;
    Ok(arg.fixed.size)
}

/// `VFIO_IOMMU_DIRTY_PAGES` with `VFIO_IOMMU_DIRTY_PAGES_FLAG_START` or `_STOP`.
pub(crate) fn set_dirty_tracking(fd: BorrowedFd<'_>, on: bool) -> Result<()> {
    let flags = if on {
        VFIO_IOMMU_DIRTY_PAGES_FLAG_START
    } else {
        VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
    };
    let argsz = size::<vfio_iommu_type1_dirty_bitmap>();
    let mut arg = vfio_iommu_type1_dirty_bitmap {
        argsz,
        flags,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<DIRTY_PAGES, _>(fd, &mut arg) }?;
    Ok(())
}

/// `VFIO_IOMMU_DIRTY_PAGES` with `VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP`. The kernel refuses a
/// bitmap that is too small.
pub(crate) fn dirty_bitmap(
    fd: BorrowedFd<'_>,
    range: DirtyRange,
    bitmap: &mut [u64],
) -> Result<()> {
    let fixed = vfio_iommu_type1_dirty_bitmap {
        argsz: size::<Dirty>(),
        flags: VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
        ..Default::default()
    };
    let range = vfio_iommu_type1_dirty_bitmap_get {
        iova: range.iova,
        size: range.length,
        bitmap: raw(range.page_size, bitmap),
    };
    let mut arg = Dirty { fixed, range };
    // SAFETY: the request's struct. The kernel writes at most `bitmap.size` bytes to the bitmap, a
    // borrowed slice.
    unsafe { call::<DIRTY_PAGES, _>(fd, &mut arg) }?;
    Ok(())
}

fn raw(page_size: u64, bitmap: &mut [u64]) -> vfio_bitmap {
    vfio_bitmap {
        pgsize: page_size,
        size: size_of_val(bitmap) as u64,
        data: bitmap.as_mut_ptr(),
    }
}
