//! Signals that ask for the end: waited for as bytes on a pipe, so that no step is torn in the middle.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Ctrl-C, `kill`, and a terminal that was closed.
pub(crate) struct Signals {
    pipe: UnixStream,
}

impl Signals {
    /// From now on these signals do not end the process.
    pub(crate) fn catch() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            // What the caller had ignored stays so: `nohup`, and jobs in the background of a script.
            if ignored & (1 << (signal - 1)) == 0 {
                pipe::register(signal, write.try_clone()?)?;
            }
        }
        Ok(Self { pipe })
    }

    /// How many came since the last time.
    pub(crate) fn taken(&self) -> usize {
        let mut buffer = [0; 16];
        (&self.pipe).read(&mut buffer).unwrap_or(0)
    }
}

/// The signals that are ignored, as a set of bits: signal 1 is the lowest.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
