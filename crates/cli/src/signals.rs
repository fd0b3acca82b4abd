//! Signals that ask for the end: until the host changes they end the process, then they are waited
//! for as bytes on a pipe, so that no step is torn in the middle.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::error::Error;
use crate::exit::Code;

/// Ctrl-C, `kill`, and a terminal that was closed.
pub(crate) struct Signals {
    pipe: UnixStream,
    /// Whether a signal ends the process at once.
    ends: Arc<AtomicBool>,
}

/// The signals that end a guest in order cannot be caught.
#[derive(Debug, thiserror::Error)]
#[error("cannot catch signals")]
struct SignalError(#[source] io::Error);

impl Signals {
    /// From now on these signals do not end the process.
    pub(crate) fn catch() -> Result<Self, Error> {
        let signals = Self::ending()?;
        signals.keep();
        Ok(signals)
    }

    /// From now on these signals end the process with [`Code::Interrupted`], until
    /// [`Signals::keep`].
    pub(crate) fn ending() -> Result<Self, Error> {
        Self::registered().map_err(|source| Error::new(Code::Failure, SignalError(source)))
    }

    fn registered() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let ends = Arc::new(AtomicBool::new(true));
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            // What the caller had ignored stays so: `nohup`, and jobs in the background of a
            // script.
            if ignored & (1 << (signal - 1)) == 0 {
                flag::register_conditional_shutdown(
                    signal,
                    Code::Interrupted as i32,
                    Arc::clone(&ends),
                )?;
                pipe::register(signal, write.try_clone()?)?;
            }
        }
        Ok(Self { pipe, ends })
    }

    /// From now on these signals do not end the process.
    pub(crate) fn keep(&self) {
        self.ends.store(false, Ordering::SeqCst);
    }

    /// From now on these signals end the process again. Returns whether one has come before.
    pub(crate) fn end_again(&self) -> bool {
        self.ends.store(true, Ordering::SeqCst);
        self.taken() > 0
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
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
