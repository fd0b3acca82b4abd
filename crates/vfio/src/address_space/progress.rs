//! [`Progress`]: the report to a caller while memory is mapped.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Error;

/// Progress of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The current phase.
    pub phase: Phase,
    /// Number of bytes that are done.
    pub done: u64,
    /// Number of bytes of the whole phase.
    pub total: u64,
}

/// A phase of mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The kernel makes the pages.
    Populate,
    /// The pages are mapped, and pinned if a device is attached.
    Map,
}

/// A function that receives the progress and can cancel by returning `Break`.
///
/// Any of the mapping threads calls the function. The function must not call the address space, or
/// an address space that it is over or shares with: they are locked during the call.
pub type OnProgress<'a> = dyn Fn(Progress) -> ControlFlow<()> + Sync + 'a;

/// Counter of the bytes of one phase, which reports each step to the caller.
pub(super) struct ProgressCounter<'a> {
    phase: Phase,
    done: AtomicU64,
    total: u64,
    on_progress: &'a OnProgress<'a>,
    cancelled: AtomicBool,
}

impl<'a> ProgressCounter<'a> {
    pub(super) fn new(phase: Phase, total: u64, on_progress: &'a OnProgress<'a>) -> Self {
        Self {
            phase,
            done: AtomicU64::new(0),
            total,
            on_progress,
            cancelled: AtomicBool::new(false),
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds bytes and reports them. Returns `Break` if the caller cancels.
    pub(super) fn add(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let flow = (self.on_progress)(Progress {
            phase: self.phase,
            done,
            total: self.total,
        });
        self.cancelled.fetch_or(flow.is_break(), Ordering::Relaxed);
        flow
    }

    /// Returns an error if the caller has cancelled.
    pub(super) fn result(self) -> Result<(), Error> {
        if self.cancelled.into_inner() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}
