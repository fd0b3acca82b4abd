//! The system call for which `rustix` has no function.
#![allow(unsafe_code, reason = "an ioctl")]

use std::os::fd::AsFd;

use rustix::fs::Dev;
use rustix::io::Result;
use rustix::ioctl::{Getter, Opcode, ioctl};

const LOOP_GET_STATUS64: Opcode = 0x4c05;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    rest: [u64; 26],
}

/// Returns the backing device of a loop device (`LOOP_GET_STATUS64`): the device that the backing
/// file is, else the device that has the file.
pub(crate) fn backing_device(loop_device: impl AsFd) -> Result<Dev> {
    // SAFETY: for this ioctl number, the kernel writes one `struct loop_info64`, and any bits are a
    // valid `LoopInfo`. The number is in the range of the loop driver, so other drivers reject it.
    let info = unsafe { ioctl(loop_device, Getter::<LOOP_GET_STATUS64, LoopInfo>::new())? };
    let device = if info.rdevice == 0 {
        info.device
    } else {
        info.rdevice
    };
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn struct_has_the_size_of_the_kernel() {
        assert_eq!(size_of::<LoopInfo>(), 232);
    }

    #[test]
    fn other_file_rejects_the_ioctl() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(backing_device(file), Err(rustix::io::Errno::NOTTY));
    }
}
