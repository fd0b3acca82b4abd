//! Lines from a socket, each with a deadline.

use super::Error;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The longest line that is read: far more than the longest answer (the schema, 300 KiB).
const LONGEST: usize = 64 << 20;
/// A socket's time limit may not be zero, which would be none.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Lines {
    stream: UnixStream,
    /// What was read and not returned yet.
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end of line.
    searched: usize,
}

impl Lines {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), searched: 0 }
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether a whole line was read already.
    pub(super) fn has_line(&self) -> bool {
        self.buffer[self.searched..].contains(&b'\n')
    }

    /// Returns the next line that is not empty, without its end. After the deadline what has come by then is
    /// read, once, however much more comes.
    pub(super) fn next(&mut self, what: &str, deadline: Instant) -> Result<Vec<u8>, Error> {
        let mut is_late = false;
        loop {
            match self.take() {
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(line) => return Ok(line),
                None if is_late => return Err(Error::Timeout { what: what.to_owned() }),
                None => {
                    is_late = Instant::now() >= deadline;
                    self.fill(what, deadline)?;
                }
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + end + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    fn fill(&mut self, what: &str, deadline: Instant) -> Result<(), Error> {
        let io = |source| Error::Io { what: what.to_owned(), source };
        if self.buffer.len() > LONGEST {
            return Err(Error::TooLong { limit: LONGEST });
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(SHORTEST);
        self.stream.set_read_timeout(Some(left)).map_err(io)?;
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Error::Closed { what: what.to_owned() }),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) if is_timeout(&e) => Err(Error::Timeout { what: what.to_owned() }),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                Err(Error::Closed { what: what.to_owned() })
            }
            Err(e) => Err(io(e)),
        }
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
