//! `VFIO_DEVICE_*`: what is asked of a device's open file.

use super::{bytes, call, call_slice, call_value, number, size};
use rustix::io::Result;
use rustix::ioctl::Opcode;
use std::os::fd::{AsRawFd, BorrowedFd};
use vfio_bindings::bindings::vfio::*;

const GET_INFO: Opcode = number(7);
const GET_REGION_INFO: Opcode = number(8);
const RESET: Opcode = number(11);
const BIND_IOMMUFD: Opcode = number(18);
const ATTACH_IOMMUFD_PT: Opcode = number(19);
const DETACH_IOMMUFD_PT: Opcode = number(20);

/// Answers are not longer than this, whatever the kernel says.
const MAX_ANSWER: u32 = 1 << 20;

/// `VFIO_DEVICE_GET_INFO`, without capabilities.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<vfio_device_info> {
    let mut arg = vfio_device_info { argsz: size::<vfio_device_info>(), ..Default::default() };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_INFO, _>(fd, &mut arg) }.map(|_| arg)
}

/// `VFIO_DEVICE_GET_REGION_INFO`: returns the struct, and the whole answer with its capabilities.
pub(crate) fn region_info(fd: BorrowedFd<'_>, index: u32) -> Result<(vfio_region_info, Vec<u8>)> {
    let argsz = size::<vfio_region_info>();
    let mut arg = vfio_region_info { argsz, index, ..Default::default() };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_REGION_INFO, _>(fd, &mut arg) }?;
    let mut words = vec![0u32; (arg.argsz.clamp(argsz, MAX_ANSWER) / 4) as usize];
    (words[0], words[2]) = (4 * words.len() as u32, index);
    // SAFETY: the request's struct, and behind it as many bytes as its size says; no addresses.
    unsafe { call_slice::<GET_REGION_INFO, _>(fd, &mut words) }?;
    (arg.flags, arg.cap_offset) = (words[1], words[3]);
    Ok((arg, bytes(&words)))
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
