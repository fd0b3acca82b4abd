//! System calls of `/dev/iommu`: a function for each ioctl, which fills in the kernel's struct.
//!
//! The semantics are documented at the public methods that call these functions. This file has the
//! calls on the context and on any object.
#![allow(unsafe_code)]

pub(crate) mod device;
pub(crate) mod hwpt;
pub(crate) mod ioas;
pub(crate) mod viommu;

use std::os::fd::BorrowedFd;

use iommufd_bindings::iommufd::*;
use rustix::io::Result;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

const DESTROY: Opcode = number(IOMMUFD_CMD_DESTROY);
const OPTION: Opcode = number(IOMMUFD_CMD_OPTION);
const VFIO_IOAS: Opcode = number(IOMMUFD_CMD_VFIO_IOAS);
const IOAS_CHANGE_PROCESS: Opcode = number(IOMMUFD_CMD_IOAS_CHANGE_PROCESS);

/// Returns the request number of a command (`IOMMUFD_CMD_*`).
const fn number(command: u32) -> Opcode {
    opcode::none(IOMMUFD_TYPE, command as u8)
}

/// Issues an ioctl.
///
/// # Safety
/// - `T` is the struct of the request `OPCODE`, and its first field is its size.
/// - Each address in the struct is valid for the kernel's accesses of this request.
///
/// (Another driver that uses the same number gets a pointer to the struct, as with any ioctl on a
/// foreign descriptor.)
unsafe fn call<const OPCODE: Opcode, T>(fd: BorrowedFd<'_>, arg: &mut T) -> Result<()> {
    // SAFETY: as this function's own contract.
    unsafe { ioctl(fd, Updater::<OPCODE, T>::new(arg)) }
}

/// Returns the size of a struct, for its first field.
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// Destroys an object (`IOMMU_DESTROY`).
pub(crate) fn destroy(fd: BorrowedFd<'_>, id: u32) -> Result<()> {
    let mut arg = iommu_destroy {
        size: size::<iommu_destroy>(),
        id,
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<DESTROY, _>(fd, &mut arg) }
}

/// Gets or sets (`op`) an option of an object, or of the context if `object_id` is 0
/// (`IOMMU_OPTION`). Returns the value.
pub(crate) fn option(
    fd: BorrowedFd<'_>,
    option_id: u32,
    op: u32,
    object_id: u32,
    val64: u64,
) -> Result<u64> {
    let mut arg = iommu_option {
        size: size::<iommu_option>(),
        option_id,
        op: op as u16,
        object_id,
        val64,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<OPTION, _>(fd, &mut arg) }.map(|()| arg.val64)
}

/// Gets, sets or clears (`op`) the I/O address space of VFIO's container interface
/// (`IOMMU_VFIO_IOAS`). Returns its id.
pub(crate) fn vfio_ioas(fd: BorrowedFd<'_>, op: u32, ioas_id: u32) -> Result<u32> {
    let mut arg = iommu_vfio_ioas {
        size: size::<iommu_vfio_ioas>(),
        ioas_id,
        op: op as u16,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<VFIO_IOAS, _>(fd, &mut arg) }.map(|()| arg.ioas_id)
}

/// Moves the charge for pinned memory to this process (`IOMMU_IOAS_CHANGE_PROCESS`).
pub(crate) fn change_process(fd: BorrowedFd<'_>) -> Result<()> {
    let mut arg = iommu_ioas_change_process {
        size: size::<iommu_ioas_change_process>(),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<IOAS_CHANGE_PROCESS, _>(fd, &mut arg) }
}
