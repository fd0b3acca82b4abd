//! One client of the server.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::fd_stream::{receive, receive_bytes};
use super::line_buffer::LineBuffer;
use super::output::Output;
use super::peer::{Peer, Right};
use super::request::Request;
use super::response::{ErrorKind, ErrorMessage, Response};

/// Largest length of a request's line, in bytes, unless it may be long.
pub const MAX_REQUEST: usize = 64 << 10;
/// Largest length of a request's line that may be long, in bytes. An attach may.
pub const MAX_LONG_REQUEST: usize = 1 << 20;
/// Largest number of bytes that wait for a client that does not read; also the largest length of a
/// response's line.
pub const MAX_WAITING: usize = 1 << 20;

/// Number of bytes that are read from a client in one turn of the loop.
const CHUNK: usize = 64 << 10;

/// A connected client, with bounded buffers in both directions.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    pub(super) peer: Peer,
    right: Right,
    input: LineBuffer,
    /// Descriptors that came and that no request has taken yet.
    fds: VecDeque<OwnedFd>,
    output: Output,
    /// Whether a request has no result yet.
    is_busy: bool,
    /// Whether the client sends nothing more.
    has_ended: bool,
    /// Whether the connection is closed as soon as its last request is taken.
    is_gone: bool,
}

impl Connection {
    /// Makes a connection to a client that has `right`.
    ///
    /// # Errors
    /// If the socket cannot be set non-blocking, then the kernel's error.
    pub(super) fn new(stream: UnixStream, peer: Peer, right: Right) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            peer,
            right,
            input: LineBuffer::default(),
            fds: VecDeque::new(),
            output: Output::default(),
            is_busy: false,
            has_ended: false,
            is_gone: false,
        })
    }

    pub(super) const fn right(&self) -> Right {
        self.right
    }

    /// Returns the events to wait for. Hang-ups are reported in any case.
    pub(super) fn flags(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.wants_input());
        flags.set(PollFlags::OUT, self.output.waiting() > 0);
        flags
    }

    /// Returns whether more is read: not while a whole line waits.
    const fn wants_input(&self) -> bool {
        !self.has_ended && !self.is_gone && !self.input.has_line()
    }

    /// Sends and reads what can go without waiting. `events` is what poll(2) reported.
    pub(super) fn advance(&mut self, events: PollFlags) {
        self.flush();
        let has_read = self.wants_input() && self.read();
        let is_hung_up = events.intersects(PollFlags::HUP | PollFlags::ERR);
        if is_hung_up && !has_read {
            self.is_gone = true;
        }
        self.settle();
    }

    /// Reads once. Returns whether bytes came.
    fn read(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        // To close a descriptor can take as long as its maker likes: only an administrator's come
        // into this process.
        let received = if self.right == Right::Admin {
            receive(&self.stream, &mut buffer, &mut self.fds)
        } else {
            receive_bytes(&self.stream, &mut buffer)
        };
        let count = match received {
            Ok(0) => {
                self.has_ended = true;
                return false;
            }
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(Errno::TOOMANYREFS) => {
                self.refuse(ErrorKind::TooLarge, "too many descriptors came");
                return false;
            }
            Err(_) => {
                self.is_gone = true;
                return false;
            }
        };

        self.input.push(&buffer[..count]);
        if self.input.line_length() > self.longest_line() {
            self.refuse_length(self.longest_line());
        }
        true
    }

    /// Returns the largest length of a line that this client may send.
    fn longest_line(&self) -> usize {
        if self.right == Right::Admin {
            MAX_LONG_REQUEST
        } else {
            MAX_REQUEST
        }
    }

    /// Returns whether [`Self::take_request`] has something to do.
    pub(super) const fn has_request(&self) -> bool {
        self.input.has_line() && !self.is_busy
    }

    /// Takes the next request that the client may make, with its descriptors. A request that is
    /// refused is answered here.
    pub(super) fn take_request(&mut self) -> Option<(Request, Vec<OwnedFd>)> {
        if self.is_busy {
            return None;
        }
        let line = self.input.take()?;
        let taken = self.accept(&line);
        self.settle();
        taken
    }

    fn accept(&mut self, line: &[u8]) -> Option<(Request, Vec<OwnedFd>)> {
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("the line is not a request: {error}");
                self.refuse(ErrorKind::BadRequest, message);
                return None;
            }
        };
        if line.len() > MAX_REQUEST && !request.may_be_long() {
            self.refuse_length(MAX_REQUEST);
            return None;
        }

        let count = request.descriptors();
        if count > self.fds.len() {
            let message = format!(
                "{} needs {count} descriptors, and {} came",
                request.name(),
                self.fds.len()
            );
            self.refuse(ErrorKind::BadRequest, message);
            return None;
        }

        let fds = self.fds.drain(..count).collect();
        self.is_busy = true;
        if request.right() > self.right {
            let message = format!(
                "the user {} may not ask for {}",
                self.peer.uid,
                request.name()
            );
            self.answer_error(ErrorKind::NotAllowed, message);
            return None;
        }

        Some((request, fds))
    }

    /// Queues a response, and sends what can go without waiting. Returns false if the connection is
    /// closed, or is closed now since the client does not read.
    pub(super) fn push(&mut self, response: &Response, fds: Vec<OwnedFd>) -> bool {
        if self.is_gone {
            return false;
        }
        // The next line of progress replaces one that the client has no time for.
        if matches!(response, Response::Progress(_)) && self.output.waiting() > 0 {
            return true;
        }
        let line = response.to_line();
        if line.len() > MAX_WAITING {
            self.answer_error(ErrorKind::TooLarge, "the answer is longer than 1 MiB");
            return !self.is_gone;
        }

        if response.is_final() {
            self.is_busy = false;
        }
        if self.output.waiting() + line.len() > MAX_WAITING {
            tracing::debug!("process {} does not read: closing it", self.peer.pid);
            self.is_gone = true;
            return false;
        }

        self.output.push(line, fds);
        self.flush();
        self.settle();
        !self.is_gone
    }

    fn answer_error(&mut self, kind: ErrorKind, message: impl Into<String>) {
        let message = ErrorMessage::new(kind, message);
        self.push(&Response::Error(message), Vec::new());
    }

    fn refuse_length(&mut self, limit: usize) {
        let message = format!("the request is longer than {} KiB", limit >> 10);
        self.refuse(ErrorKind::TooLarge, message);
    }

    /// Sends an error as far as the client reads, and closes the connection. After such an error
    /// the rest of the stream has no meaning.
    pub(super) fn refuse(&mut self, kind: ErrorKind, message: impl Into<String>) {
        self.answer_error(kind, message);
        self.input.clear();
        self.fds.clear();
        self.is_gone = true;
    }

    fn flush(&mut self) {
        if self.output.flush(&self.stream).is_err() {
            self.is_gone = true;
        }
    }

    /// Closes the connection once the client has ended and has got everything.
    fn settle(&mut self) {
        let is_idle = !self.is_busy && !self.input.has_line() && self.output.waiting() == 0;
        if self.has_ended && is_idle {
            self.is_gone = true;
        }
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Returns the number of bytes that wait for the client.
    pub(super) const fn waiting(&self) -> usize {
        self.output.waiting()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
