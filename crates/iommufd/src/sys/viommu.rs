//! The calls of virtual IOMMUs and what belongs to them.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use iommufd_bindings::iommufd::*;
use rustix::io::Result;
use rustix::ioctl::Opcode;

use super::{call, number, size};

const VIOMMU_ALLOC: Opcode = number(IOMMUFD_CMD_VIOMMU_ALLOC);
const VDEVICE_ALLOC: Opcode = number(IOMMUFD_CMD_VDEVICE_ALLOC);
const VEVENTQ_ALLOC: Opcode = number(IOMMUFD_CMD_VEVENTQ_ALLOC);
const HW_QUEUE_ALLOC: Opcode = number(IOMMUFD_CMD_HW_QUEUE_ALLOC);

/// `IOMMU_VIOMMU_ALLOC`: returns the id. The data go in and come out.
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

/// `IOMMU_VDEVICE_ALLOC`: returns the id.
pub(crate) fn vdevice_alloc(
    fd: BorrowedFd<'_>,
    viommu_id: u32,
    dev_id: u32,
    virt_id: u64,
) -> Result<u32> {
    let size = size::<iommu_vdevice_alloc>();
    let mut arg = iommu_vdevice_alloc {
        size,
        viommu_id,
        dev_id,
        virt_id,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<VDEVICE_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_vdevice_id)
}

/// `IOMMU_VEVENTQ_ALLOC`: returns the id and the file.
pub(crate) fn veventq_alloc(
    fd: BorrowedFd<'_>,
    viommu_id: u32,
    type_: u32,
    veventq_depth: u32,
) -> Result<(u32, OwnedFd)> {
    let size = size::<iommu_veventq_alloc>();
    let mut arg = iommu_veventq_alloc {
        size,
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

/// A queue in a guest's memory.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    pub(crate) type_: u32,
    pub(crate) index: u32,
    pub(crate) iova: u64,
    pub(crate) length: u64,
}

/// `IOMMU_HW_QUEUE_ALLOC`: returns the id.
pub(crate) fn hw_queue_alloc(fd: BorrowedFd<'_>, viommu_id: u32, queue: Queue) -> Result<u32> {
    let Queue {
        type_,
        index,
        iova: nesting_parent_iova,
        length,
    } = queue;
    let size = size::<iommu_hw_queue_alloc>();
    let mut arg = iommu_hw_queue_alloc {
        size,
        viommu_id,
        type_,
        index,
        nesting_parent_iova,
        length,
        ..Default::default()
    };
    // SAFETY: the request's struct; the address is a guest's, which the kernel looks up in the page
    // table.
    unsafe { call::<HW_QUEUE_ALLOC, _>(fd, &mut arg) }.map(|()| arg.out_hw_queue_id)
}
