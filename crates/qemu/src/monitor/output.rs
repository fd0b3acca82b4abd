//! Commands that are to be sent to the monitor.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::error::Error;
use super::message::MAX_MESSAGE;

/// Largest number of descriptors that are sent with one command.
pub(super) const MOST_FDS: usize = 16;

/// A command to be sent.
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
    /// Descriptors that are sent with the first byte.
    pub(super) fds: Vec<OwnedFd>,
    /// Number of bytes that were sent.
    sent: usize,
}

/// Shows everything but the bytes, which can hold a password.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("fds", &self.fds)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Request {
    pub(super) fn new(id: u64, bytes: Vec<u8>, fds: Vec<OwnedFd>) -> Self {
        Self {
            id,
            bytes,
            fds,
            sent: 0,
        }
    }

    /// Returns whether a part was sent, so that the rest must follow.
    pub(super) fn is_begun(&self) -> bool {
        self.sent > 0
    }

    /// Sends some bytes without waiting. Returns whether the socket took any.
    fn send(&mut self, stream: &UnixStream) -> rustix::io::Result<bool> {
        let fds: Vec<_> = if self.is_begun() {
            vec![]
        } else {
            self.fds.iter().map(AsFd::as_fd).collect()
        };
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::TOOMANYREFS);
        }
        let rest = IoSlice::new(self.bytes.get(self.sent..).unwrap_or_default());
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(stream, &[rest], &mut control, flags) {
            Ok(count) => {
                self.sent += count;
                self.fds.clear();
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// Commands that were not sent yet, or only in part: [`MAX_MESSAGE`] bytes at most.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Request>,
    bytes: usize,
}

impl Output {
    /// Adds a command. Returns false, and drops the command, if there is no room.
    pub(super) fn push(&mut self, request: Request) -> bool {
        let bytes = self.bytes + request.bytes.len();
        if bytes > MAX_MESSAGE {
            return false;
        }
        self.bytes = bytes;
        self.queue.push_back(request);
        true
    }

    /// Returns the command that is sent next.
    pub(super) fn front(&self) -> Option<&Request> {
        self.queue.front()
    }

    /// Drops a command, unless a part of it was sent.
    pub(super) fn withdraw(&mut self, id: u64) {
        self.queue
            .retain(|request| request.id != id || request.is_begun());
        self.bytes = self.queue.iter().map(|request| request.bytes.len()).sum();
    }

    /// Drops all commands, once the connection is closed.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }

    /// Sends some bytes of the first command. Returns whether the socket took any.
    ///
    /// # Errors
    /// If the socket fails, then [`Error::Io`]. A closed connection is not an error here: reading
    /// reports it after the messages that came before.
    pub(super) fn send(&mut self, stream: &UnixStream) -> Result<bool, Error> {
        let Some(request) = self.queue.front_mut() else {
            return Ok(false);
        };
        match request.send(stream) {
            Ok(took) => {
                if request.sent == request.bytes.len() {
                    self.bytes -= request.bytes.len();
                    self.queue.pop_front();
                }
                Ok(took)
            }
            Err(Errno::PIPE | Errno::CONNRESET) => {
                self.clear();
                Ok(false)
            }
            Err(errno) => Err(Error::Io {
                what: "send".into(),
                source: errno.into(),
            }),
        }
    }
}
