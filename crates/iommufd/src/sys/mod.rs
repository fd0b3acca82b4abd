//! The system calls of `/dev/iommu`: request numbers and one function each, which fills in the
//! kernel's struct. What the calls mean is written where they are offered. Here are those of the
//! context.
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

const fn number(command: u32) -> Opcode {
    opcode::none(IOMMUFD_TYPE, command as u8)
}

/// Asks the kernel.
///
/// # Safety
/// `T` is the struct of the request `OPCODE`, its first field says how large it is, and each
/// address in it may be used as the kernel uses it for this request. (Another driver that takes the
/// number for one of its own gets a pointer to the struct, as with any ioctl on an unknown
/// descriptor.)
unsafe fn call<const OPCODE: Opcode, T>(fd: BorrowedFd<'_>, arg: &mut T) -> Result<()> {
    // SAFETY: as this function's own contract.
    unsafe { ioctl(fd, Updater::<OPCODE, T>::new(arg)) }
}

const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// `IOMMU_DESTROY`.
pub(crate) fn destroy(fd: BorrowedFd<'_>, id: u32) -> Result<()> {
    let mut arg = iommu_destroy {
        size: size::<iommu_destroy>(),
        id,
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<DESTROY, _>(fd, &mut arg) }
}

/// `IOMMU_OPTION`: gets or sets (`op`) an option of an object (0: of the context); returns the
/// value.
pub(crate) fn option(
    fd: BorrowedFd<'_>,
    option_id: u32,
    op: u32,
    object_id: u32,
    val64: u64,
) -> Result<u64> {
    let size = size::<iommu_option>();
    let mut arg = iommu_option {
        size,
        option_id,
        op: op as u16,
        object_id,
        val64,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<OPTION, _>(fd, &mut arg) }.map(|()| arg.val64)
}

/// `IOMMU_VFIO_IOAS`: returns the id, which a get fills in.
pub(crate) fn vfio_ioas(fd: BorrowedFd<'_>, op: u32, ioas_id: u32) -> Result<u32> {
    let size = size::<iommu_vfio_ioas>();
    let mut arg = iommu_vfio_ioas {
        size,
        ioas_id,
        op: op as u16,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<VFIO_IOAS, _>(fd, &mut arg) }.map(|()| arg.ioas_id)
}

/// `IOMMU_IOAS_CHANGE_PROCESS`.
pub(crate) fn change_process(fd: BorrowedFd<'_>) -> Result<()> {
    let size = size::<iommu_ioas_change_process>();
    let mut arg = iommu_ioas_change_process {
        size,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<IOAS_CHANGE_PROCESS, _>(fd, &mut arg) }
}
