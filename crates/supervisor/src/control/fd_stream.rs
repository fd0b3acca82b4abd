//! Bytes with descriptors on a Unix socket (`SCM_RIGHTS`).
//!
//! The monitor's client of the crate `qemu` sends descriptors too. But it never receives any, and
//! it only talks to a VMM.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};

/// Largest number of descriptors with a message.
pub const MAX_FDS: usize = 8;

/// Sends some bytes, and the descriptors with the first of them. Returns the number of bytes that
/// the socket took.
///
/// # Errors
/// - If there are more than [`MAX_FDS`] descriptors, then `ETOOMANYREFS`.
/// - If the socket fails, then its error; a closed connection raises no signal.
pub(super) fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let has_room = fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds));
    // The space is rounded up, and can have room for one more.
    if fds.len() > MAX_FDS || !has_room {
        return Err(Errno::TOOMANYREFS);
    }
    sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
}

/// Receives some bytes, and leaves the descriptors that come with them to the kernel, which closes
/// them. Returns 0 at the end of the stream.
///
/// # Errors
/// If the socket fails, then its error.
pub(super) fn receive_bytes(stream: &UnixStream, buffer: &mut [u8]) -> Result<usize> {
    let (_, count) = recv(stream, buffer, RecvFlags::empty())?;
    Ok(count)
}

/// Receives some bytes, and adds the descriptors that come with them to `fds`. Returns 0 at the end
/// of the stream.
///
/// # Errors
/// - If more than [`MAX_FDS`] descriptors would wait in `fds`, or this process cannot have another
///   descriptor, then `ETOOMANYREFS`. All that came are closed.
/// - If the socket fails, then its error.
pub(super) fn receive(
    stream: &UnixStream,
    buffer: &mut [u8],
    fds: &mut VecDeque<OwnedFd>,
) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;

    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }

    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    if is_cut || fds.len() > MAX_FDS {
        fds.clear();
        return Err(Errno::TOOMANYREFS);
    }

    Ok(received.bytes)
}

/// Borrows descriptors, as [`send`] takes them.
pub(super) fn borrow(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::io::{FdFlags, fcntl_getfd};

    use super::*;

    fn descriptors(count: usize) -> Vec<OwnedFd> {
        let mut fds = Vec::new();
        for _ in 0..count {
            fds.push(File::open("/dev/null").unwrap().into());
        }
        fds
    }

    #[test]
    fn descriptor_is_received_close_on_exec() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);

        assert_eq!(send(&ours, b"ab", &[writer.as_fd()]).unwrap(), 2);

        drop(writer);

        let mut buffer = [0; 8];
        let mut fds = VecDeque::new();

        assert_eq!(receive(&theirs, &mut buffer, &mut fds).unwrap(), 2);

        let fd = fds.pop_front().unwrap();

        assert!(fds.is_empty());
        assert!(fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));

        File::from(fd).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();

        assert_eq!(text, "through");
    }

    #[test]
    fn ninth_descriptor_is_not_sent() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let fds = descriptors(MAX_FDS + 1);
        assert_eq!(send(&ours, b"x", &borrow(&fds)), Err(Errno::TOOMANYREFS));
        assert_eq!(send(&ours, b"x", &borrow(&fds[1..])), Ok(1));
    }

    #[test]
    fn waiting_descriptors_are_bounded() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let five = descriptors(5);
        let mut fds = VecDeque::new();
        send(&ours, b"x", &borrow(&five)).unwrap();
        send(&ours, b"y", &borrow(&five)).unwrap();

        assert_eq!(receive(&theirs, &mut [0], &mut fds), Ok(1));
        assert_eq!(fds.len(), 5);

        let result = receive(&theirs, &mut [0], &mut fds);

        assert_eq!(result, Err(Errno::TOOMANYREFS));
        assert!(fds.is_empty());
    }
}
