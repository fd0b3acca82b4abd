//! Buffered standard output while a guest runs. A write does not block: what standard output does
//! not accept stays in the buffer.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Number of bytes that a writable pipe takes without waiting (`PIPE_BUF`).
const CHUNK: usize = 4096;
/// Longest time to wait at the end for a reader that does not read.
const IDLE_TIME: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Output that is not yet written to standard output.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    pending: Vec<u8>,
    closed: bool,
}

impl OutputBuffer {
    /// Returns whether there is room for more output, that is, all earlier output is written.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds output, unless standard output is closed.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Writes some of the output. Call this when standard output is writable.
    pub(crate) fn write_some(&mut self) {
        let piece = self
            .pending
            .get(..self.pending.len().min(CHUNK))
            .unwrap_or_default();
        match rustix::io::write(io::stdout(), piece) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => {
                // A closed standard output does not end the guest.
                self.closed = true;
                self.pending.clear();
            }
        }
    }

    /// Writes the rest of the output, unless the reader stops reading.
    pub(crate) fn finish(&mut self) {
        while !self.pending.is_empty() {
            let stdout = io::stdout();
            let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
            if !matches!(poll(&mut fds, Some(&IDLE_TIME)), Ok(1..)) {
                return;
            }
            self.write_some();
        }
    }
}
