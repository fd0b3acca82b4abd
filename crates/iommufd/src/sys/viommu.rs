//! System calls on virtual IOMMUs and their objects.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use iommufd_bindings::iommufd::*;
use rustix::io::Result;
use rustix::ioctl::Opcode;

use super::{call, number, size};

const VIOMMU_ALLOC: Opcode = number(IOMMUFD_CMD_VIOMMU_ALLOC);
const VDEVICE_ALLOC: Opcode = number(IOMMUFD_CMD_VDEVICE_ALLOC);
const VEVENTQ_ALLOC: Opcode = number(IOMMUFD_CMD_VEVENTQ_ALLOC);
const HW_QUEUE_ALLOC: Opcode = number(IOMMUFD_CMD_HW_QUEUE_ALLOC);

/// Allocates a virtual IOMMU (`IOMMU_VIOMMU_ALLOC`); returns its id. The kernel reads and writes
/// `data`.
pub(crate) fn alloc(
    fd: BorrowedFd<'_>,
    type_: u32,
    dev_id: u32,
    hwpt_id: u32,
    data: &mut [u8],
) -> Result<u32> {
    let mut arg = iommu_viommu_alloc {
        size: size::<iommu_viommu_alloc>(),
        type_,
        dev_id,
        hwpt_id,
        data_len: data.len() as u32,
        data_uptr: data.as_mut_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads and writes `data_len` bytes of the slice.
    unsafe { call::<VIOMMU_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_viommu_id)
}

/// Puts a device behind a virtual IOMMU (`IOMMU_VDEVICE_ALLOC`); returns the id of the vDEVICE.
pub(crate) fn vdevice_alloc(
    fd: BorrowedFd<'_>,
    viommu_id: u32,
    dev_id: u32,
    virt_id: u64,
) -> Result<u32> {
    let mut arg = iommu_vdevice_alloc {
        size: size::<iommu_vdevice_alloc>(),
        viommu_id,
        dev_id,
        virt_id,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<VDEVICE_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_vdevice_id)
}

/// Allocates a queue of events (`IOMMU_VEVENTQ_ALLOC`); returns its id and its file.
pub(crate) fn veventq_alloc(
    fd: BorrowedFd<'_>,
    viommu_id: u32,
    type_: u32,
    veventq_depth: u32,
) -> Result<(u32, OwnedFd)> {
    let mut arg = iommu_veventq_alloc {
        size: size::<iommu_veventq_alloc>(),
        viommu_id,
        type_,
        veventq_depth,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<VEVENTQ_ALLOC, _>(fd, &mut arg) }?;
    // SAFETY: the kernel has just opened this descriptor for this call.
    let file = unsafe { OwnedFd::from_raw_fd(arg.out_veventq_fd as RawFd) };
    Ok((arg.out_veventq_id, file))
}

/// A hardware queue and its memory, at IOVAs of the nest parent.
#[derive(Clone, Copy)]
pub(crate) struct QueueMemory {
    pub(crate) type_: u32,
    pub(crate) index: u32,
    pub(crate) iova: u64,
    pub(crate) length: u64,
}

/// Allocates a hardware queue (`IOMMU_HW_QUEUE_ALLOC`); returns its id.
pub(crate) fn hw_queue_alloc(
    fd: BorrowedFd<'_>,
    viommu_id: u32,
    queue: QueueMemory,
) -> Result<u32> {
    let mut arg = iommu_hw_queue_alloc {
        size: size::<iommu_hw_queue_alloc>(),
        viommu_id,
        type_: queue.type_,
        index: queue.index,
        nesting_parent_iova: queue.iova,
        length: queue.length,
        ..Default::default()
    };
    // SAFETY: the request's struct; the address is a guest's, which the kernel looks up in the page
    // table.
    unsafe { call::<HW_QUEUE_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_hw_queue_id)
}
