//! The descriptors that one turn of the loop waits for.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::control;

/// Name of a descriptor in the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The VMM's process.
    Vmm,
    /// The monitor of the VMM.
    Monitor,
    /// The messages of the VMM.
    Log,
    /// The control socket or one of its clients.
    Control(control::Source),
    /// A descriptor of the foreground.
    Foreground(usize),
}

/// Descriptors to wait for, with their names.
#[derive(Default)]
pub(super) struct PollSet<'fd> {
    sources: Vec<Source>,
    fds: Vec<PollFd<'fd>>,
}

impl<'fd> PollSet<'fd> {
    /// Adds a descriptor.
    pub(super) fn add(&mut self, source: Source, fd: BorrowedFd<'fd>, flags: PollFlags) {
        self.sources.push(source);
        self.fds.push(PollFd::from_borrowed_fd(fd, flags));
    }

    /// Waits for an event until a time, and returns the descriptors with events. A signal can end
    /// the wait early.
    pub(super) fn wait(mut self, until: Option<Instant>) -> Vec<(Source, PollFlags)> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if poll(&mut self.fds, left.map(timespec).as_ref()).is_err() {
            return Vec::new();
        }
        let mut ready = Vec::new();
        for (source, fd) in self.sources.iter().zip(&self.fds) {
            if !fd.revents().is_empty() {
                ready.push((*source, fd.revents()));
            }
        }

        ready
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
