//! The kernel's own test devices behind /dev/iommu (`CONFIG_IOMMUFD_TEST`), and what only a test does to a
//! context. The structs are no user interface and in no crate.
#![allow(unsafe_code)]

use iommufd_bindings::iommufd::{IOMMUFD_CMD_DESTROY, IOMMUFD_TYPE, iommu_destroy};
use passthru_iommufd::{DmaMemory, Ioas, Iommufd};
use rustix::fs::OFlags;
use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Updater, ioctl, opcode};
use std::ffi::c_void;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

/// The IOVAs that a mock device can use.
pub(crate) const APERTURE: RangeInclusive<u64> = 1 << 24..=(1 << 31) - 1;

const TEST: Opcode = opcode::none(IOMMUFD_TYPE, 0xa0);
const DESTROY: Opcode = opcode::none(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY as u8);
const ADD_RESERVED: u32 = 1;
const MOCK_DOMAIN: u32 = 2;
const CHECK_MAP: u32 = 3;
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

/// Returns the answer, and what the ioctl itself returned.
fn test(context: &Iommufd, op: u32, id: u32, given: [u64; 3]) -> Result<([u64; 16], IoctlOutput)> {
    let mut arguments = [0; 16];
    arguments[..3].copy_from_slice(&given);
    let mut command = Command { size: size_of::<Command>() as u32, op, id, reserved: 0, arguments };
    // SAFETY: the struct says how large it is; the only address, for CHECK_MAP, is read, of memory that lives.
    let output = unsafe { ioctl(context.as_fd(), &mut command) }?;
    Ok((command.arguments, output))
}

/// Destroys any object of a context, behind the back of whoever owns it.
pub(crate) fn destroy(context: &Iommufd, id: u32) -> Result<()> {
    let mut arg = iommu_destroy { size: size_of::<iommu_destroy>() as u32, id };
    // SAFETY: the request's struct; no addresses.
    unsafe { ioctl(context.as_fd(), Updater::<DESTROY, iommu_destroy>::new(&mut arg)) }
}

/// Makes IOVAs unusable, as a device's reserved region does.
pub(crate) fn reserve(ioas: &Ioas, start: u64, length: u64) {
    test(ioas.context(), ADD_RESERVED, ioas.id(), [start, length, 0]).unwrap();
}

/// A dma-buf of the kernel's own.
pub(crate) fn dma_buf(context: &Iommufd, length: u32) -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let (_, fd) =
        test(context, DMABUF_GET, 0, [u64::from(length) | u64::from(flags.bits()) << 32, 0, 0]).unwrap();
    // SAFETY: the kernel has just made this descriptor for this call.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A device that is attached to an address space until it is dropped.
pub(crate) struct Device {
    context: Arc<Iommufd>,
    id: u32,
    hwpt: u32,
}

impl Device {
    pub(crate) fn attach(ioas: &Ioas) -> Result<Self> {
        let ([ids, ..], _) = test(ioas.context(), MOCK_DOMAIN, ioas.id(), [0; 3])?;
        Ok(Self { context: Arc::clone(ioas.context()), id: ids as u32, hwpt: (ids >> 32) as u32 })
    }

    /// Whether the device reaches just this memory at the IOVA.
    pub(crate) fn reaches(&self, iova: u64, memory: &DmaMemory) -> bool {
        let given = [iova, memory.len() as u64, memory.as_ptr() as u64];
        test(&self.context, CHECK_MAP, self.hwpt, given).is_ok()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        destroy(&self.context, self.id).unwrap();
    }
}
