//! System calls on I/O address spaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use iommufd_bindings::iommufd::*;
use rustix::io::Result;
use rustix::ioctl::Opcode;

use super::{call, number, size};

const IOAS_ALLOC: Opcode = number(IOMMUFD_CMD_IOAS_ALLOC);
const IOAS_ALLOW_IOVAS: Opcode = number(IOMMUFD_CMD_IOAS_ALLOW_IOVAS);
const IOAS_COPY: Opcode = number(IOMMUFD_CMD_IOAS_COPY);
const IOAS_IOVA_RANGES: Opcode = number(IOMMUFD_CMD_IOAS_IOVA_RANGES);
const IOAS_MAP: Opcode = number(IOMMUFD_CMD_IOAS_MAP);
const IOAS_UNMAP: Opcode = number(IOMMUFD_CMD_IOAS_UNMAP);
const IOAS_MAP_FILE: Opcode = number(IOMMUFD_CMD_IOAS_MAP_FILE);
const IOAS_NOIOMMU_GET_PA: Opcode = number(IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA);

/// Number of `IOMMU_IOAS_NOIOMMU_GET_PA`, which the bindings lack.
const IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA: u32 = 0x95;

/// `struct iommu_ioas_noiommu_get_pa`, which the bindings lack.
#[derive(Default)]
#[repr(C)]
struct NoiommuGetPa {
    size: u32,
    flags: u32,
    ioas_id: u32,
    reserved: u32,
    iova: u64,
    length: u64,
    out_phys: u64,
}

/// Allocates an I/O address space (`IOMMU_IOAS_ALLOC`); returns its id.
pub(crate) fn alloc(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut arg = iommu_ioas_alloc {
        size: size::<iommu_ioas_alloc>(),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<IOAS_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_ioas_id)
}

/// Reads the usable IOVA ranges (`IOMMU_IOAS_IOVA_RANGES`); returns their number and the alignment.
///
/// If the slice is too short, the result is `MSGSIZE` and the number is still that of all ranges.
pub(crate) fn iova_ranges(
    fd: BorrowedFd<'_>,
    ioas_id: u32,
    ranges: &mut [iommu_iova_range],
) -> (Result<()>, usize, u64) {
    let mut arg = iommu_ioas_iova_ranges {
        size: size::<iommu_ioas_iova_ranges>(),
        ioas_id,
        num_iovas: ranges.len() as u32,
        allowed_iovas: ranges.as_mut_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel writes at most `num_iovas` elements of the slice.
    let answer = unsafe { call::<IOAS_IOVA_RANGES, _>(fd, &mut arg) };
    (answer, arg.num_iovas as usize, arg.out_iova_alignment)
}

/// Restricts the IOVAs (`IOMMU_IOAS_ALLOW_IOVAS`).
pub(crate) fn allow_iovas(
    fd: BorrowedFd<'_>,
    ioas_id: u32,
    ranges: &[iommu_iova_range],
) -> Result<()> {
    let mut arg = iommu_ioas_allow_iovas {
        size: size::<iommu_ioas_allow_iovas>(),
        ioas_id,
        num_iovas: ranges.len() as u32,
        allowed_iovas: ranges.as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads `num_iovas` elements of the slice.
    unsafe { call::<IOAS_ALLOW_IOVAS, _>(fd, &mut arg) }
}

/// Maps memory by address (`IOMMU_IOAS_MAP`); returns the IOVA.
///
/// # Safety
/// Until the memory is unmapped, devices may access it as `flags` allow. The contract is that of
/// [`crate::Ioas::map`].
pub(crate) unsafe fn map(
    fd: BorrowedFd<'_>,
    ioas_id: u32,
    flags: u32,
    user_va: u64,
    length: u64,
    iova: u64,
) -> Result<u64> {
    let mut arg = iommu_ioas_map {
        size: size::<iommu_ioas_map>(),
        flags,
        ioas_id,
        user_va,
        length,
        iova,
        ..Default::default()
    };
    // SAFETY: the request's struct; this function's contract allows the use of the memory.
    unsafe { call::<IOAS_MAP, _>(fd, &mut arg) }.map(|()| arg.iova)
}

/// Maps a range of a file (`IOMMU_IOAS_MAP_FILE`); returns the IOVA.
pub(crate) fn map_file(
    fd: BorrowedFd<'_>,
    ioas_id: u32,
    flags: u32,
    file: BorrowedFd<'_>,
    start: u64,
    length: u64,
    iova: u64,
) -> Result<u64> {
    let mut arg = iommu_ioas_map_file {
        size: size::<iommu_ioas_map_file>(),
        flags,
        ioas_id,
        fd: file.as_raw_fd(),
        start,
        length,
        iova,
    };
    // SAFETY: the request's struct; no addresses, and the kernel takes a reference of its own to
    // the file.
    unsafe { call::<IOAS_MAP_FILE, _>(fd, &mut arg) }.map(|()| arg.iova)
}

/// Range of an I/O address space that is copied to another.
#[derive(Clone, Copy)]
pub(crate) struct CopySource {
    pub(crate) ioas: u32,
    pub(crate) iova: u64,
    pub(crate) length: u64,
}

/// Copies a mapping to another I/O address space (`IOMMU_IOAS_COPY`); returns the IOVA.
///
/// # Safety
/// The contract of [`map`] holds for the memory that is mapped at the source.
pub(crate) unsafe fn copy(
    fd: BorrowedFd<'_>,
    source: CopySource,
    dst_ioas_id: u32,
    flags: u32,
    dst_iova: u64,
) -> Result<u64> {
    let mut arg = iommu_ioas_copy {
        size: size::<iommu_ioas_copy>(),
        flags,
        dst_ioas_id,
        src_ioas_id: source.ioas,
        length: source.length,
        dst_iova,
        src_iova: source.iova,
    };
    // SAFETY: the request's struct; this function's contract allows the use of the memory.
    unsafe { call::<IOAS_COPY, _>(fd, &mut arg) }.map(|()| arg.dst_iova)
}

/// Unmaps a range (`IOMMU_IOAS_UNMAP`); returns the number of bytes unmapped.
pub(crate) fn unmap(fd: BorrowedFd<'_>, ioas_id: u32, iova: u64, length: u64) -> Result<u64> {
    let mut arg = iommu_ioas_unmap {
        size: size::<iommu_ioas_unmap>(),
        ioas_id,
        iova,
        length,
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<IOAS_UNMAP, _>(fd, &mut arg) }.map(|()| arg.length)
}

/// Looks up a physical address (`IOMMU_IOAS_NOIOMMU_GET_PA`); returns it with the number of
/// contiguous bytes.
pub(crate) fn noiommu_get_pa(
    fd: BorrowedFd<'_>,
    ioas_id: u32,
    iova: u64,
    length: u64,
) -> Result<(u64, u64)> {
    let mut arg = NoiommuGetPa {
        size: size::<NoiommuGetPa>(),
        ioas_id,
        iova,
        length,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses of this process.
    unsafe { call::<IOAS_NOIOMMU_GET_PA, _>(fd, &mut arg) }.map(|()| (arg.out_phys, arg.length))
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn noiommu_struct_has_the_kernels_layout() {
        assert_eq!(IOAS_NOIOMMU_GET_PA, 0x3b95);
        assert_eq!(size_of::<NoiommuGetPa>(), 40);
        assert_eq!(offset_of!(NoiommuGetPa, ioas_id), 8);
        assert_eq!(offset_of!(NoiommuGetPa, iova), 16);
        assert_eq!(offset_of!(NoiommuGetPa, length), 24);
        assert_eq!(offset_of!(NoiommuGetPa, out_phys), 32);
    }
}
