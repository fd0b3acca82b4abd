//! The exit status of a process that is not a child.
#![allow(unsafe_code, reason = "ioctl")]

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::Duration;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// Number of looks for the status. The kernel has it once the parent has waited for the process.
const LOOKS: usize = 20;
const INTERVAL: Duration = Duration::from_millis(50);

/// `PIDFD_INFO_EXIT`.
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`.
const GET_INFO: Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);

/// `struct pidfd_info`, in its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// Returns the exit status of a process that has ended, by its pidfd. Waits up to a second for the
/// parent of the process.
///
/// # Errors
/// - If the kernel does not have the status, then `Unsupported`.
/// - If the kernel cannot be asked, then its error. Linux 6.15 was the first to answer.
pub(crate) fn exit_status(pidfd: impl AsFd) -> io::Result<ExitStatus> {
    for look in 0..LOOKS {
        if look > 0 {
            sleep(INTERVAL);
        }
        let mut info = PidfdInfo {
            mask: INFO_EXIT,
            ..PidfdInfo::default()
        };
        // SAFETY: the number says that the kernel reads and writes a `PidfdInfo`, which holds
        // numbers alone. It lives until the call returns.
        unsafe { ioctl(&pidfd, Updater::<GET_INFO, PidfdInfo>::new(&mut info))? };
        if info.mask & INFO_EXIT != 0 {
            return Ok(ExitStatus::from_raw(info.exit_code));
        }
    }

    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn status_is_known_once_the_parent_has_waited() {
        for (script, code, signal) in [("exit 7", Some(7), None), ("kill -9 $$", None, Some(9))] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
            child.wait().unwrap();
            match exit_status(&pidfd) {
                Ok(status) => {
                    assert_eq!(status.code(), code);
                    assert_eq!(status.signal(), signal);
                }
                // The kernel is older.
                Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
            }
        }
    }
}
