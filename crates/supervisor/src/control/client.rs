//! The client: one connection to the server of a guest, which waits for each answer.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use passthru_guest::control_path;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;

use super::client_error::ClientError;
use super::connection::MAX_WAITING;
use super::fd_stream::{MAX_FDS, receive, send};
use super::line_buffer::LineBuffer;
use super::request::Request;
use super::response::{Hello, PROTOCOL, Progress, Response};

/// Number of bytes that are read at a time.
const CHUNK: usize = 64 << 10;
/// Time limit for the introduction of the server.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// A connection to the server of a guest.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    input: LineBuffer,
    /// Descriptors that came and that no answer has taken yet.
    fds: VecDeque<OwnedFd>,
    hello: Hello,
    /// Whether a request has no answer yet.
    is_waiting: bool,
}

/// A line of the server that belongs to a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// State of the request.
    Progress(Progress),
    /// An event of the guest.
    Event(Value),
    /// Number of events that were dropped at this place, since this client was too slow.
    Lost(u64),
    /// The end of the request.
    Answer(Answer),
}

/// The end of a request that succeeded.
#[derive(Debug)]
pub struct Answer {
    /// Result.
    pub value: Value,
    /// Descriptors that came with the result.
    pub fds: Vec<OwnedFd>,
}

/// The replies to a request, the answer last. Each waits until it comes.
#[derive(Debug)]
pub struct Replies<'a> {
    client: &'a mut Client,
}

impl Client {
    /// Connects to the server of a guest. `run` is the folder of the folders of all guests.
    ///
    /// # Errors
    /// - If the guest has no socket, then [`ClientError::NoSocket`].
    /// - If no server listens on it, then [`ClientError::NoServer`].
    /// - If the server refuses this client, then [`ClientError::Refused`].
    /// - If the server does not introduce itself within 5 seconds, then [`ClientError::Silent`].
    /// - If the server has another version of the protocol, then [`ClientError::Protocol`].
    pub fn connect(run: &Path, guest: &str) -> Result<Self, ClientError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let guest = guest.to_owned();
        let path = control_path(run, &guest);
        // The path of a socket has 107 bytes at most, which a guest's name alone may have.
        let socket = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(socket) => File::from(socket),
            Err(Errno::NOENT) => return Err(ClientError::NoSocket { guest }),
            Err(errno) => {
                let source = errno.into();
                return Err(ClientError::Connect { path, source });
            }
        };
        match UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())) {
            Ok(stream) => Self::from_stream(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(ClientError::NoServer { guest })
            }
            Err(source) => Err(ClientError::Connect { path, source }),
        }
    }

    /// Makes a client of a connection on which nothing was read yet.
    ///
    /// # Errors
    /// Those of [`Client::connect`] that come after the connection.
    pub fn from_stream(stream: UnixStream) -> Result<Self, ClientError> {
        let hello = Hello {
            protocol: 0,
            version: String::new(),
            guest: String::new(),
        };
        let mut client = Self {
            stream,
            input: LineBuffer::default(),
            fds: VecDeque::new(),
            hello,
            is_waiting: false,
        };
        client.stream.set_read_timeout(Some(HELLO_LIMIT))?;
        match client.read()? {
            Response::Hello(hello) => client.hello = hello,
            Response::Error(message) => return Err(ClientError::Refused(message)),
            _ => return Err(ClientError::NoHello),
        }

        if client.hello.protocol != PROTOCOL {
            return Err(ClientError::Protocol {
                theirs: client.hello.protocol,
                ours: PROTOCOL,
                version: client.hello.version,
            });
        }

        client.stream.set_read_timeout(None)?;
        Ok(client)
    }

    /// Returns the introduction of the server.
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a request, with its descriptors. The replies come from the returned iterator.
    ///
    /// # Errors
    /// - If an earlier request has no answer yet, then [`ClientError::Unanswered`].
    /// - If the connection fails, then [`ClientError::Io`]. If the server has closed it, then the
    ///   replies show why.
    pub fn request(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Replies<'_>, ClientError> {
        if self.is_waiting {
            return Err(ClientError::Unanswered);
        }
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        // Nothing is sent then, so no answer comes.
        if fds.len() > MAX_FDS {
            return Err(io::Error::from(Errno::TOOMANYREFS).into());
        }
        self.is_waiting = true;
        self.send(&line, fds)?;
        Ok(Replies { client: self })
    }

    /// Sends a request, and waits for its answer. Progress is dropped.
    ///
    /// # Errors
    /// Those of [`Client::request`] and of [`Replies`].
    pub fn call(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer, ClientError> {
        for reply in self.request(request, fds)? {
            if let Reply::Answer(answer) = reply? {
                return Ok(answer);
            }
        }

        Err(ClientError::Closed)
    }

    fn send(&self, line: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let mut rest = line;
        let mut fds = fds;
        while !rest.is_empty() {
            match send(&self.stream, rest, fds) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => continue,
                // What the server has sent before tells why.
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            fds = &[];
        }

        Ok(())
    }

    /// Waits for the next line.
    fn read(&mut self) -> Result<Response, ClientError> {
        loop {
            if let Some(line) = self.input.take() {
                return serde_json::from_slice(&line)
                    .map_err(|source| ClientError::Malformed { source });
            }
            if self.input.line_length() > MAX_WAITING {
                return Err(ClientError::TooLong);
            }
            let mut buffer = vec![0; CHUNK];
            match receive(&self.stream, &mut buffer, &mut self.fds) {
                Ok(0) | Err(Errno::CONNRESET) => return Err(ClientError::Closed),
                Ok(count) => self.input.push(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(ClientError::Silent),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }

    fn next_reply(&mut self) -> Result<Reply, ClientError> {
        let reply = match self.read()? {
            Response::Progress(progress) => Reply::Progress(progress),
            Response::Event(event) => Reply::Event(event),
            Response::Lost(count) => Reply::Lost(count),
            Response::Result(value) => Reply::Answer(Answer {
                value,
                fds: self.fds.drain(..).collect(),
            }),
            Response::Error(message) => return Err(ClientError::Refused(message)),
            Response::Hello(_) => return Err(ClientError::SecondHello),
        };
        Ok(reply)
    }
}

impl Iterator for Replies<'_> {
    type Item = Result<Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.client.is_waiting {
            return None;
        }
        let reply = self.client.next_reply();
        let is_last = matches!(reply, Err(_) | Ok(Reply::Answer(_)));
        self.client.is_waiting = !is_last;
        Some(reply)
    }
}

impl AsFd for Client {
    /// The socket. It hangs up when the server ends, or closes this client's connection.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
