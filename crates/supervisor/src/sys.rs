//! Socket options of a peer. `rustix` has none for the groups, and its one for the credentials is
//! undefined for a peer from another PID namespace, whose number is 0.
#![allow(unsafe_code, reason = "getsockopt")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::{c_int, c_void, gid_t, socklen_t, ucred};

/// Number of groups that are asked for first.
const FEW_GROUPS: usize = 32;
/// Largest number of groups of a process (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// Returns the credentials of the process that connected a Unix socket (`SO_PEERCRED`). `pid` is 0
/// if this PID namespace does not show that process.
pub(crate) fn peer_credentials(socket: impl AsFd) -> io::Result<ucred> {
    let mut value = [ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    }];
    // SAFETY: the kernel writes at most one `struct ucred`, of which any bits are valid.
    let (length, result) = unsafe { get(socket.as_fd(), libc::SO_PEERCRED, &mut value) };
    result?;
    if length != size_of::<ucred>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let [credentials] = value;
    Ok(credentials)
}

/// Returns the supplementary groups of the process that connected a Unix socket
/// (`SO_PEERGROUPS`).
pub(crate) fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<gid_t> = vec![0; FEW_GROUPS];
    loop {
        // SAFETY: the kernel writes whole `gid_t`s, of which any bits are valid.
        let (length, result) = unsafe { get(socket.as_fd(), libc::SO_PEERGROUPS, &mut groups) };
        let count = length / size_of::<gid_t>();
        match result {
            Ok(()) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // The kernel reports the length that it needs.
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => {
                if count <= groups.len() || count > MOST_GROUPS {
                    return Err(error);
                }
                groups.resize(count, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Calls `getsockopt` at the level `SOL_SOCKET`. Returns the length that the kernel reports, in
/// bytes.
///
/// # Safety
/// Any bytes that the kernel writes for this option must be valid values of `T`.
unsafe fn get<T>(
    socket: BorrowedFd<'_>,
    option: c_int,
    value: &mut [T],
) -> (usize, io::Result<()>) {
    let mut length = socklen_t::try_from(size_of_val(value)).unwrap_or(socklen_t::MAX);
    let pointer = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: `pointer` and `length` describe memory that is ours and may be written; the kernel
    // writes no more than `length` bytes. The caller argues for the values.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            pointer,
            &raw mut length,
        )
    };
    let length = usize::try_from(length).unwrap_or(0);
    if result == 0 {
        (length, Ok(()))
    } else {
        (length, Err(io::Error::last_os_error()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn peer_of_a_pair_is_this_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = peer_credentials(&ours).unwrap();
        assert_eq!(peer.pid.cast_unsigned(), std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
    }

    #[test]
    fn file_that_is_not_a_socket_is_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = peer_credentials(&file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        assert!(peer_groups(&file).is_err());
    }

    #[test]
    fn peer_with_many_groups_has_all_of_them() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let wanted: Vec<u32> = (5_000..5_100).collect();
        let raw = wanted.clone();
        // The groups of the thread alone change: the system call knows no processes.
        let pair = std::thread::spawn(move || {
            let groups: Vec<_> = raw
                .into_iter()
                .map(rustix::process::Gid::from_raw)
                .collect();
            rustix::thread::set_thread_groups(&groups).unwrap();
            UnixStream::pair().unwrap()
        });
        let (ours, _theirs) = pair.join().unwrap();

        assert_eq!(peer_groups(&ours).unwrap(), wanted);
    }
}
