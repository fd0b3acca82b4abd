//! The system calls of `/dev/iommu`: request numbers and one function each. Nothing else in this
//! crate is unsafe.
#![allow(unsafe_code)]

use iommufd_bindings::iommufd::iommu_option;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::os::fd::BorrowedFd;

/// `IOMMUFD_TYPE` of `linux/iommufd.h`.
const TYPE: u8 = b';';
/// `IOMMU_OPTION`: `_IO(IOMMUFD_TYPE, 0x87)`.
const IOMMU_OPTION: Opcode = opcode::none(TYPE, 0x87);

/// `IOMMU_OPTION`: gets or sets an option; `val64` is written to by a get.
pub(crate) fn option(fd: BorrowedFd<'_>, arg: &mut iommu_option) -> rustix::io::Result<()> {
    // SAFETY: IOMMU_OPTION reads and writes one `struct iommu_option`, whose `size` says how large the
    // caller's is; it holds no pointers. Another driver that takes the number for one of its own gets
    // a pointer to these 24 bytes, as with any ioctl on an unknown descriptor.
    unsafe { ioctl(fd, Updater::<IOMMU_OPTION, iommu_option>::new(arg)) }
}
