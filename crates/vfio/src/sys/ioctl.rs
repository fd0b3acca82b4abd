//! The `ioctl` of VFIO, with an argument of one struct, of a slice, or of a number.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// Answers are not longer than this, whatever the kernel says.
pub(super) const MAX_ANSWER: u32 = 1 << 20;

/// A request of VFIO by its number: `_IO(VFIO_TYPE, VFIO_BASE + n)`.
pub(super) const fn number(n: u8) -> Opcode {
    opcode::none(b';', 100 + n)
}

/// An ioctl whose argument is an address; the kernel's positive answer is its output.
struct Request<const OPCODE: Opcode>(*mut c_void);

// SAFETY: the request takes an address, of which `call` and `call_slice` say what it leads to, and
// returns a number.
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

/// Asks the kernel, and returns its answer, which is 0 for most requests.
///
/// # Safety
/// `T` is the struct of the request `OPCODE`, its first field says how large it is where it has
/// one, and each address in it may be used as the kernel uses it for this request.
pub(super) unsafe fn call<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    arg: &mut T,
) -> Result<IoctlOutput> {
    // SAFETY: as this function's own contract; the struct is borrowed for the call.
    unsafe { ioctl(fd, Request::<OPCODE>(std::ptr::from_mut(arg).cast())) }
}

/// As [`call`], for a struct that ends in an array of no fixed length: it is laid out in a slice of
/// words.
///
/// # Safety
/// As for [`call`]; the size in the first field is at most the slice's.
pub(super) unsafe fn call_slice<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    arg: &mut [T],
) -> Result<IoctlOutput> {
    // SAFETY: as this function's own contract; the slice is borrowed for the call.
    unsafe { ioctl(fd, Request::<OPCODE>(arg.as_mut_ptr().cast())) }
}

/// Asks the kernel with a number for an argument, or none (0).
///
/// # Safety
/// The request takes a number, not an address.
pub(super) unsafe fn call_value<const OPCODE: Opcode>(
    fd: BorrowedFd<'_>,
    value: usize,
) -> Result<IoctlOutput> {
    // SAFETY: as this function's own contract.
    unsafe {
        ioctl(
            fd,
            Request::<OPCODE>(std::ptr::without_provenance_mut(value)),
        )
    }
}

/// The size of a struct, as its first field has it.
pub(super) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// The bytes of an answer that is laid out in words.
pub(super) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
