//! The system calls of VFIO devices: request numbers and one function each. Nothing else in this crate
//! is unsafe.
#![allow(unsafe_code)]

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::os::fd::BorrowedFd;
use vfio_bindings::bindings::vfio::vfio_device_info;

/// `VFIO_TYPE` of `linux/vfio.h`.
const TYPE: u8 = b';';
/// `VFIO_DEVICE_GET_INFO`: `_IO(VFIO_TYPE, VFIO_BASE + 7)`.
const VFIO_DEVICE_GET_INFO: Opcode = opcode::none(TYPE, 100 + 7);

/// `VFIO_DEVICE_GET_INFO`.
pub(crate) fn device_info(fd: BorrowedFd<'_>, arg: &mut vfio_device_info) -> rustix::io::Result<()> {
    // SAFETY: VFIO_DEVICE_GET_INFO reads `argsz` of a `struct vfio_device_info` and writes no more than
    // so many bytes; the struct holds no pointers.
    unsafe { ioctl(fd, Updater::<VFIO_DEVICE_GET_INFO, vfio_device_info>::new(arg)) }
}
