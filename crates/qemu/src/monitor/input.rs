//! Lines that come from the monitor's socket.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;

use super::error::Error;
use super::message::MAX_MESSAGE;

/// Number of bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// Bytes that came and were not taken yet: at most one message and one chunk.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Start of the first line that was not taken.
    start: usize,
    /// End of the part that is known to hold no line end.
    searched: usize,
    /// Whether the monitor has closed the connection.
    ended: bool,
}

impl Input {
    /// Reads once without waiting. Does nothing while a whole line is in the buffer.
    ///
    /// # Errors
    /// - If a line is longer than [`MAX_MESSAGE`], then [`Error::TooLong`].
    /// - If the socket fails, then [`Error::Io`].
    pub(super) fn fill(&mut self, mut stream: &UnixStream) -> Result<(), Error> {
        if self.ended || self.has_line() {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + CHUNK, 0);
        let read = stream.read(&mut self.buffer[kept..]);
        self.buffer
            .truncate(kept + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // The monitor closed the connection before it had read all commands.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(source) => return Err(failed(source)),
        }

        self.check_length()
    }

    fn check_length(&self) -> Result<(), Error> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        if length > MAX_MESSAGE {
            return Err(Error::TooLong { limit: MAX_MESSAGE });
        }
        Ok(())
    }

    /// Takes the next line that is not empty, without its line end.
    pub(super) fn take(&mut self) -> Option<&[u8]> {
        loop {
            let end = self.find_end()?;
            let start = std::mem::replace(&mut self.start, end + 1);
            self.searched = self.start;
            if !self.buffer[start..end].trim_ascii().is_empty() {
                return Some(&self.buffer[start..end]);
            }
        }
    }

    fn find_end(&mut self) -> Option<usize> {
        let unseen = self.buffer.get(self.searched..)?;
        let end = unseen
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| self.searched + at);
        self.searched = end.unwrap_or(self.buffer.len());
        end
    }

    /// Returns whether a whole line was read and not taken.
    pub(super) fn has_line(&self) -> bool {
        self.buffer
            .get(self.searched..)
            .is_some_and(|unseen| unseen.contains(&b'\n'))
    }

    /// Returns whether no more lines come: the monitor closed the connection, and all lines were
    /// taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.ended && !self.has_line()
    }
}

fn failed(source: io::Error) -> Error {
    Error::Io {
        what: "read".into(),
        source,
    }
}
