//! The kernel's own test devices behind /dev/iommu (`CONFIG_IOMMUFD_TEST`), and what only a test does to a
//! context. The structs are no user interface and in no crate.
#![allow(unsafe_code)]

mod device;

pub(crate) use device::{Device, NO_DIRTY_TRACKING};

use iommufd_bindings::iommufd::{IOMMUFD_CMD_DESTROY, IOMMUFD_TYPE, iommu_destroy};
use passthru_iommufd::{Ioas, Iommufd};
use rustix::fs::OFlags;
use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Updater, ioctl, opcode};
use std::ffi::c_void;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr;

/// The IOVAs that a mock device can use.
pub(crate) const APERTURE: RangeInclusive<u64> = 1 << 24..=(1 << 31) - 1;

const TEST: Opcode = opcode::none(IOMMUFD_TYPE, 0xa0);
const DESTROY: Opcode = opcode::none(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY as u8);
const ADD_RESERVED: u32 = 1;
const DMABUF_GET: u32 = 22;

/// `struct iommu_test_cmd`, with room for what later kernels may add.
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

/// Asks for one of the tests. Returns the answer, and what the ioctl itself returned.
fn test(context: &Iommufd, op: u32, id: u32, given: &[u64]) -> Result<([u64; 16], IoctlOutput)> {
    let mut arguments = [0; 16];
    arguments[..given.len()].copy_from_slice(given);
    let mut command = Command { size: size_of::<Command>() as u32, op, id, reserved: 0, arguments };
    // SAFETY: the struct says how large it is; the only addresses, for CHECK_MAP and DIRTY, are read, of
    // memory that lives.
    let output = unsafe { ioctl(context.as_fd(), &mut command) }?;
    Ok((command.arguments, output))
}

/// Two fields of 32 bits that lie side by side.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Destroys any object of a context, behind the back of whoever owns it.
pub(crate) fn destroy(context: &Iommufd, id: u32) -> Result<()> {
    let mut arg = iommu_destroy { size: size_of::<iommu_destroy>() as u32, id };
    // SAFETY: the request's struct; no addresses.
    unsafe { ioctl(context.as_fd(), Updater::<DESTROY, iommu_destroy>::new(&mut arg)) }
}

/// Makes IOVAs unusable, as a device's reserved region does.
pub(crate) fn reserve(ioas: &Ioas, start: u64, length: u64) {
    test(ioas.context(), ADD_RESERVED, ioas.id(), &[start, length]).unwrap();
}

/// A dma-buf of the kernel's own.
pub(crate) fn dma_buf(context: &Iommufd, length: u32) -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let (_, fd) = test(context, DMABUF_GET, 0, &[pair(length, flags.bits())]).unwrap();
    // SAFETY: the kernel has just made this descriptor for this call.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
