//! Signals that ask for the end. Before the host changes, they end the process. From then on, they
//! arrive as bytes on a pipe, so that they interrupt no step.

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

/// SIGINT, SIGTERM, SIGHUP and SIGQUIT: Ctrl-C, `kill`, and a terminal that is closed.
pub(crate) struct Signals {
    pipe: UnixStream,
    /// Whether a signal ends the process.
    ends: Arc<AtomicBool>,
}

/// Failure to catch the signals.
#[derive(Debug, thiserror::Error)]
#[error("cannot catch signals")]
struct SignalError(#[source] io::Error);

impl Signals {
    /// Catches the signals: from now on they do not end the process.
    pub(crate) fn catch() -> Result<Self, Error> {
        let signals = Self::ending()?;
        signals.hold();
        Ok(signals)
    }

    /// Makes the signals end the process with [`Code::Interrupted`], until a call of
    /// [`Signals::hold`].
    pub(crate) fn ending() -> Result<Self, Error> {
        Self::registered().map_err(|source| Error::new(Code::Failure, SignalError(source)))
    }

    fn registered() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let ends = Arc::new(AtomicBool::new(true));
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            // A signal that the caller ignores stays ignored: for `nohup` and background jobs of
            // scripts.
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

    /// Makes the signals wait on the pipe: from now on they do not end the process.
    pub(crate) fn hold(&self) {
        self.ends.store(false, Ordering::SeqCst);
    }

    /// Makes the signals end the process again. Returns whether one came since the last
    /// [`Signals::taken`].
    pub(crate) fn end_again(&self) -> bool {
        self.ends.store(true, Ordering::SeqCst);
        self.taken() > 0
    }

    /// Returns the number of signals since the last call, 16 at most.
    pub(crate) fn taken(&self) -> usize {
        let mut buffer = [0; 16];
        (&self.pipe).read(&mut buffer).unwrap_or(0)
    }
}

/// Returns the set of ignored signals. The lowest bit is signal 1.
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
