//! `VFIO_GROUP_*`: requests to an IOMMU group's open file.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Result;
use rustix::ioctl::Opcode;
use vfio_bindings::bindings::vfio::vfio_group_status;

use super::ioctl::{call, call_value, number, size};

const GET_STATUS: Opcode = number(3);
const SET_CONTAINER: Opcode = number(4);
const GET_DEVICE_FD: Opcode = number(6);

/// `VFIO_GROUP_GET_STATUS`: returns `VFIO_GROUP_FLAGS_*`.
pub(crate) fn status(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut arg = vfio_group_status {
        argsz: size::<vfio_group_status>(),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_STATUS, _>(fd, &mut arg) }?;
    Ok(arg.flags)
}

/// `VFIO_GROUP_SET_CONTAINER`.
pub(crate) fn set_container(fd: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<()> {
    let mut arg: RawFd = container.as_raw_fd();
    // SAFETY: the request reads a descriptor's number.
    unsafe { call::<SET_CONTAINER, _>(fd, &mut arg) }?;
    Ok(())
}

/// `VFIO_GROUP_GET_DEVICE_FD`: returns the device's open file, which is close-on-exec.
pub(crate) fn device(fd: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    // SAFETY: the request reads a string that ends with a zero, and does not keep it.
    let device = unsafe { call_value::<GET_DEVICE_FD>(fd, name.as_ptr() as usize) }?;
    // SAFETY: the kernel made this descriptor for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(device) })
}
