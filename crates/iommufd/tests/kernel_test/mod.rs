//! Commands of the kernel's test driver for /dev/iommu (`CONFIG_IOMMUFD_TEST`), for the lab tests
//! of several crates.
//!
//! The struct is not part of the user API, so that no crate has it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;

use passthru_iommufd::Iommufd;
use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// `IOMMU_TEST_CMD`: the type of iommufd's ioctls, and the number after the public ones.
const TEST: Opcode = opcode::none(b';', 0xa0);

/// `IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS`: makes a mock device and attaches it.
pub(crate) const MOCK_DOMAIN_FLAGS: u32 = 12;

/// `IOMMU_TEST_OP_DIRTY`: marks pages of a page table as dirty.
pub(crate) const DIRTY: u32 = 13;

/// `struct iommu_test_cmd`, with room for the fields of later kernels.
#[repr(C)]
struct Command {
    size: u32,
    op: u32,
    id: u32,
    reserved: u32,
    arguments: [u64; 16],
}

// SAFETY: the request takes a pointer to the struct, writes to it, and returns a number.
unsafe impl Ioctl for &mut Command {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        TEST
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(*self).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput> {
        Ok(output)
    }
}

/// Issues a test command. Returns its arguments after the call, and the ioctl's result.
pub(crate) fn test(
    context: &Iommufd,
    op: u32,
    id: u32,
    given: &[u64],
) -> Result<([u64; 16], IoctlOutput)> {
    let mut arguments = [0; 16];
    arguments[..given.len()].copy_from_slice(given);
    let mut command = Command {
        size: size_of::<Command>() as u32,
        op,
        id,
        reserved: 0,
        arguments,
    };
    // SAFETY: the struct has its own size. Only CHECK_MAP and DIRTY have an address among their
    // arguments: the kernel reads from it, and the caller's memory outlives the call.
    let output = unsafe { ioctl(context.as_fd(), &mut command) }?;
    Ok((command.arguments, output))
}
