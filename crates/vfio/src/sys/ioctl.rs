//! The `ioctl` of VFIO, with an argument of one struct, of a slice, or of a number.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// Longest reply that is read, whatever length the kernel reports.
pub(super) const MAX_REPLY: u32 = 1 << 20;

/// Returns the request `_IO(VFIO_TYPE, VFIO_BASE + n)`.
pub(super) const fn number(n: u8) -> Opcode {
    opcode::none(b';', 100 + n)
}

/// An ioctl whose argument is an address. Its output is the kernel's result, which is not negative.
struct Request<const OPCODE: Opcode>(*mut c_void);

// SAFETY: the request takes an address, whose target `call` and `call_slice` define, and returns a
// number.
unsafe impl<const OPCODE: Opcode> Ioctl for Request<OPCODE> {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput> {
        Ok(output)
    }
}

/// Calls the kernel with a struct, and returns its result, which is 0 for most requests.
///
/// # Safety
/// - `T` is the struct of the request `OPCODE`.
/// - If the struct starts with a size, then that is the size of `T`.
/// - The kernel may use each address in the struct as this request does.
pub(super) unsafe fn call<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    arg: &mut T,
) -> Result<IoctlOutput> {
    // SAFETY: by this function's contract; the struct is borrowed for the call.
    unsafe { ioctl(fd, Request::<OPCODE>(std::ptr::from_mut(arg).cast())) }
}

/// Calls the kernel with a struct that ends in an array, laid out in a slice of words. Returns the
/// kernel's result.
///
/// # Safety
/// - The slice has the layout of the struct of the request `OPCODE`.
/// - The size in its first field is at most that of the slice.
/// - The kernel may use each address in the struct as this request does.
pub(super) unsafe fn call_slice<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    arg: &mut [T],
) -> Result<IoctlOutput> {
    // SAFETY: by this function's contract; the slice is borrowed for the call.
    unsafe { ioctl(fd, Request::<OPCODE>(arg.as_mut_ptr().cast())) }
}

/// Calls the kernel with a number as argument; 0 if the request has none. Returns the kernel's
/// result.
///
/// # Safety
/// The request takes a number, not an address.
pub(super) unsafe fn call_value<const OPCODE: Opcode>(
    fd: BorrowedFd<'_>,
    value: usize,
) -> Result<IoctlOutput> {
    // SAFETY: by this function's contract.
    unsafe {
        ioctl(
            fd,
            Request::<OPCODE>(std::ptr::without_provenance_mut(value)),
        )
    }
}

/// Returns the size of a struct, as its first field holds it.
pub(super) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// Returns the bytes of a reply that is laid out in words.
pub(super) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
