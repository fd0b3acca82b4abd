//! `VFIO_DEVICE_*`: what is asked of a device's open file.

use super::{call, call_value, number, size};
use rustix::io::Result;
use rustix::ioctl::Opcode;
use std::os::fd::{AsRawFd, BorrowedFd};
use vfio_bindings::bindings::vfio::*;

const GET_INFO: Opcode = number(7);
const RESET: Opcode = number(11);
const BIND_IOMMUFD: Opcode = number(18);
const ATTACH_IOMMUFD_PT: Opcode = number(19);
const DETACH_IOMMUFD_PT: Opcode = number(20);

/// `VFIO_DEVICE_GET_INFO`, without capabilities.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<vfio_device_info> {
    let mut arg = vfio_device_info { argsz: size::<vfio_device_info>(), ..Default::default() };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_INFO, _>(fd, &mut arg) }.map(|_| arg)
}

/// `VFIO_DEVICE_RESET`.
pub(crate) fn reset(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the request has no argument.
    unsafe { call_value::<RESET>(fd, 0) }.map(|_| ())
}

/// `VFIO_DEVICE_BIND_IOMMUFD`: returns the device's id in the iommufd.
pub(crate) fn bind(fd: BorrowedFd<'_>, iommufd: BorrowedFd<'_>, token: Option<&[u8; 16]>) -> Result<u32> {
    let mut arg = vfio_device_bind_iommufd {
        argsz: size::<vfio_device_bind_iommufd>(),
        flags: if token.is_some() { VFIO_DEVICE_BIND_FLAG_TOKEN } else { 0 },
        iommufd: iommufd.as_raw_fd(),
        token_uuid_ptr: token.map_or(0, |token| token.as_ptr() as u64),
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads the 16 bytes of the token, where there is one.
    unsafe { call::<BIND_IOMMUFD, _>(fd, &mut arg) }.map(|_| arg.out_devid)
}

/// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`: returns the id of what it is attached to, which is the page table that the kernel
/// made where an address space was given.
pub(crate) fn attach(fd: BorrowedFd<'_>, pt_id: u32, pasid: Option<u32>) -> Result<u32> {
    let mut arg = vfio_device_attach_iommufd_pt {
        argsz: size::<vfio_device_attach_iommufd_pt>(),
        flags: if pasid.is_some() { VFIO_DEVICE_ATTACH_PASID } else { 0 },
        pt_id,
        pasid: pasid.unwrap_or_default(),
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<ATTACH_IOMMUFD_PT, _>(fd, &mut arg) }.map(|_| arg.pt_id)
}

/// `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
pub(crate) fn detach(fd: BorrowedFd<'_>, pasid: Option<u32>) -> Result<()> {
    let mut arg = vfio_device_detach_iommufd_pt {
        argsz: size::<vfio_device_detach_iommufd_pt>(),
        flags: if pasid.is_some() { VFIO_DEVICE_DETACH_PASID } else { 0 },
        pasid: pasid.unwrap_or_default(),
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<DETACH_IOMMUFD_PT, _>(fd, &mut arg) }.map(|_| ())
}
