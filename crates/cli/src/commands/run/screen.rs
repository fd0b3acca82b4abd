//! Standard output, never waited for: what it does not take now is kept until it does.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that is writable takes this much without waiting (`PIPE_BUF`).
const CHUNK: usize = 4096;
/// How long the last output waits for a reader that does not read.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Output that is on its way to standard output.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pending: Vec<u8>,
    gone: bool,
}

impl Screen {
    /// Whether more output may come: as long as what came before is out.
    pub(super) fn has_room(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.gone {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Writes a piece. To be called when standard output is writable.
    pub(super) fn write_some(&mut self) {
        let piece = self
            .pending
            .get(..self.pending.len().min(CHUNK))
            .unwrap_or_default();
        match rustix::io::write(io::stdout(), piece) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => {
                // A standard output that is gone does not end the guest.
                self.gone = true;
                self.pending.clear();
            }
        }
    }

    /// Writes what is left, as long as somebody reads.
    pub(super) fn finish(&mut self) {
        while !self.pending.is_empty() {
            let stdout = io::stdout();
            let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
            if !matches!(poll(&mut fds, Some(&PATIENCE)), Ok(1..)) {
                return;
            }
            self.write_some();
        }
    }
}
