//! The one system call that `rustix` has no function for.
#![allow(unsafe_code, reason = "an ioctl")]

use std::os::fd::AsFd;

use rustix::fs::Dev;
use rustix::io::Result;
use rustix::ioctl::{Getter, Opcode, ioctl};

const LOOP_GET_STATUS64: Opcode = 0x4c05;

/// `struct loop_info64`, of which the first and the third number matter here.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    rest: [u64; 26],
}

/// Returns the device that is a loop device's backing file, else the one that the file is on.
pub(crate) fn backing_device(loop_device: impl AsFd) -> Result<Dev> {
    // SAFETY: the kernel writes one `struct loop_info64` for this number, and any bits are a
    // `LoopInfo`. Other drivers do not know the number, which is of the loop driver's range, and
    // refuse it.
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
    fn struct_has_the_size_of_the_kernels() {
        assert_eq!(size_of::<LoopInfo>(), 232);
    }

    #[test]
    fn other_files_refuse_the_question() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(backing_device(file), Err(rustix::io::Errno::NOTTY));
    }
}
