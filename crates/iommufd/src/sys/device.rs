//! System calls on devices, and on the queue for their faults.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use iommufd_bindings::iommufd::*;
use rustix::io::Result;
use rustix::ioctl::Opcode;

use super::{call, number, size};

const GET_HW_INFO: Opcode = number(IOMMUFD_CMD_GET_HW_INFO);
const FAULT_QUEUE_ALLOC: Opcode = number(IOMMUFD_CMD_FAULT_QUEUE_ALLOC);

/// Result of `IOMMU_GET_HW_INFO`.
pub(crate) struct HwInfo {
    pub(crate) capabilities: u64,
    pub(crate) max_pasid_log2: u8,
    pub(crate) data_type: u32,
    /// Length of the data in bytes, which may exceed the buffer.
    pub(crate) length: usize,
}

/// Reads the data of a device's IOMMU into a buffer (`IOMMU_GET_HW_INFO`).
pub(crate) fn hw_info(
    fd: BorrowedFd<'_>,
    dev_id: u32,
    data_type: Option<u32>,
    data: &mut [u8],
) -> Result<HwInfo> {
    let mut arg = iommu_hw_info {
        size: size::<iommu_hw_info>(),
        flags: data_type.map_or(0, |_| iommufd_hw_info_flags_IOMMU_HW_INFO_FLAG_INPUT_TYPE),
        dev_id,
        data_len: data.len() as u32,
        data_uptr: data.as_mut_ptr() as u64,
        __bindgen_anon_1: iommu_hw_info__bindgen_ty_1 {
            in_data_type: data_type.unwrap_or_default(),
        },
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel writes `data_len` bytes of the slice.
    unsafe { call::<GET_HW_INFO, _>(fd, &mut arg) }?;
    Ok(HwInfo {
        capabilities: arg.out_capabilities,
        max_pasid_log2: arg.out_max_pasid_log2,
        // SAFETY: both fields of the union are a u32.
        data_type: unsafe { arg.__bindgen_anon_1.out_data_type },
        length: arg.data_len as usize,
    })
}

/// Allocates a fault queue (`IOMMU_FAULT_QUEUE_ALLOC`); returns its id and its file.
pub(crate) fn fault_queue_alloc(fd: BorrowedFd<'_>) -> Result<(u32, OwnedFd)> {
    let mut arg = iommu_fault_alloc {
        size: size::<iommu_fault_alloc>(),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<FAULT_QUEUE_ALLOC, _>(fd, &mut arg) }?;
    // SAFETY: the kernel has just opened this descriptor for this call.
    let file = unsafe { OwnedFd::from_raw_fd(arg.out_fault_fd as RawFd) };
    Ok((arg.out_fault_id, file))
}
