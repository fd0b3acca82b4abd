//! A netlink socket, for one request at a time. A socket belongs to the network namespace in which
//! it was opened.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::wire::{
    self, Body, FLAG_DUMP, FLAG_INTERRUPTED, KIND_DONE, KIND_ERROR, Message, cut_off, u32_at,
};

/// Maximum length of a datagram from the kernel, in bytes.
const DATAGRAM: usize = 64 << 10;
/// Time limit for an answer. The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Number of attempts to read a list that changes while the kernel writes it.
const ATTEMPTS: usize = 20;

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: Cell<u32>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self {
            fd,
            sequence: Cell::new(0),
        })
    }

    /// Requests the list of all objects of a kind (`NLM_F_DUMP`).
    ///
    /// # Errors
    /// - If the kernel rejects the request, then its errno.
    /// - If the list changes during every attempt, then `EINTR`.
    pub(super) fn dump(&self, kind: u16, body: &Body) -> io::Result<Vec<Message>> {
        for _ in 0..ATTEMPTS {
            let messages = self.dump_once(kind, body)?;
            let mut all_flags = messages.iter().map(|message| message.flags);
            if all_flags.all(|flags| flags & FLAG_INTERRUPTED == 0) {
                return Ok(messages);
            }
        }

        Err(rustix::io::Errno::INTR.into())
    }

    /// Requests one object.
    ///
    /// # Errors
    /// If the kernel rejects the request, then its errno.
    pub(super) fn ask(&self, kind: u16, body: &Body) -> io::Result<Message> {
        let sequence = self.send(kind, 0, body)?;
        loop {
            for message in self.receive()? {
                if message.sequence == sequence {
                    check(&message)?;
                    return Ok(message);
                }
            }
        }
    }

    fn dump_once(&self, kind: u16, body: &Body) -> io::Result<Vec<Message>> {
        let sequence = self.send(kind, FLAG_DUMP, body)?;
        let mut list = Vec::new();
        loop {
            for message in self.receive()? {
                if message.sequence != sequence {
                    continue;
                }
                check(&message)?;
                let done = message.kind == KIND_DONE;
                list.push(message);
                if done {
                    return Ok(list);
                }
            }
        }
    }

    fn send(&self, kind: u16, flags: u16, body: &Body) -> io::Result<u32> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        send(
            &self.fd,
            &body.request(kind, flags, sequence),
            SendFlags::empty(),
        )?;
        Ok(sequence)
    }

    fn receive(&self) -> io::Result<Vec<Message>> {
        let mut datagram = vec![0; DATAGRAM];
        let (_, length) = recv(&self.fd, datagram.as_mut_slice(), RecvFlags::TRUNC)?;
        wire::messages(datagram.get(..length).ok_or_else(cut_off)?)
    }
}

/// Returns the error in an error message, or in the message at the end of a list.
fn check(message: &Message) -> io::Result<()> {
    if !matches!(message.kind, KIND_ERROR | KIND_DONE) {
        return Ok(());
    }
    match u32_at(&message.body, 0).map(|error| error as i32) {
        Some(0) => Ok(()),
        None if message.kind == KIND_DONE => Ok(()),
        None => Err(cut_off()),
        Some(error) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind of a request for network interfaces (`RTM_GETLINK`).
    const GET_LINK: u16 = 18;

    fn message(kind: u16, error: i32) -> Message {
        Message {
            kind,
            flags: 0,
            sequence: 1,
            body: error.to_ne_bytes().to_vec(),
        }
    }

    #[test]
    fn error_message_of_the_kernel_becomes_its_errno() {
        assert_eq!(
            check(&message(KIND_ERROR, -1)).unwrap_err().raw_os_error(),
            Some(1)
        );
        assert_eq!(
            check(&message(KIND_DONE, -95)).unwrap_err().raw_os_error(),
            Some(95)
        );
        assert!(check(&message(KIND_ERROR, 0)).is_ok());
        assert!(check(&message(16, -1)).is_ok());
    }

    #[test]
    fn list_of_links_has_the_loopback_device() {
        let socket = Socket::open(None).unwrap();
        let links = socket.dump(GET_LINK, &Body::new(&[0; 16])).unwrap();
        let mut bodies = links.iter().map(|link| &link.body);
        assert!(bodies.any(|body| body.windows(3).any(|name| name == b"lo\0")));
        assert_eq!(links.last().unwrap().kind, KIND_DONE);
    }

    #[test]
    fn request_for_a_missing_link_fails() {
        let socket = Socket::open(None).unwrap();
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let error = socket.ask(GET_LINK, &Body::new(&header)).unwrap_err();
        let missing = rustix::io::Errno::NODEV.raw_os_error();

        assert_eq!(error.raw_os_error(), Some(missing), "{error}");
    }
}
