//! [`MapJob`]: one range to map, pinned or by a copy of another container's mapping.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use rustix::io::Errno;

use super::SharingReason;
use super::copy_source::CopySource;
use super::joined_container::{self, MappedRange};
use super::note::NoteKind;
use crate::container::{self, Dma};

/// One range to map in a container.
#[derive(Debug)]
pub(super) struct MapJob {
    pub(super) mapping: MappedRange,
    pub(super) pinning: Pinning,
    /// Result of the call. Unset if the kernel was not called.
    pub(super) result: OnceLock<Result<MapOutcome, container::Error>>,
}

/// The way to pin the memory of a range.
#[derive(Debug)]
pub(super) enum Pinning {
    /// Pins the memory.
    Pin,
    /// Shares the pins of another container. If the kernel refuses, pins the memory.
    Share(CopySource, SharingReason),
    /// Pins the memory. If the kernel refuses with `ENOMEM`, shares the pins of another container.
    PinOrShare(CopySource),
}

/// The way in which a range was mapped.
#[derive(Debug)]
pub(super) enum MapOutcome {
    Pinned,
    Shared(SharingReason),
    /// Pinned, since the kernel refused to share with this error.
    PinnedAgain(container::Error),
}

impl MapJob {
    pub(super) fn new(mapping: MappedRange) -> Self {
        Self {
            mapping,
            pinning: Pinning::Pin,
            result: OnceLock::new(),
        }
    }

    /// Maps the range.
    ///
    /// # Safety
    /// As [`joined_container::map`]. A source to share with is a recorded mapping of the same
    /// memory.
    pub(super) unsafe fn map(&self, dma: &dyn Dma) -> Result<MapOutcome, container::Error> {
        match &self.pinning {
            Pinning::Pin => {
                // SAFETY: the caller's contract.
                unsafe { self.pin(dma) }?;
                Ok(MapOutcome::Pinned)
            }
            Pinning::Share(source, reason) => {
                // SAFETY: the caller's contract.
                let Err(refusal) = (unsafe { self.share(dma, source) }) else {
                    return Ok(MapOutcome::Shared(*reason));
                };
                if !self.ensure_unmapped(dma, &refusal) {
                    return Err(refusal);
                }
                // SAFETY: the caller's contract.
                unsafe { self.pin(dma) }?;
                Ok(MapOutcome::PinnedAgain(refusal))
            }
            Pinning::PinOrShare(source) => {
                // SAFETY: the caller's contract.
                let Err(error) = (unsafe { self.pin(dma) }) else {
                    return Ok(MapOutcome::Pinned);
                };
                if !is_out_of_memory(&error) {
                    return Err(error);
                }
                // SAFETY: the caller's contract.
                match unsafe { self.share(dma, source) } {
                    Ok(()) => Ok(MapOutcome::Shared(SharingReason::Refused)),
                    Err(refusal) if self.ensure_unmapped(dma, &refusal) => Err(error),
                    Err(refusal) => Err(refusal),
                }
            }
        }
    }

    /// # Safety
    /// As [`MapJob::map`].
    unsafe fn pin(&self, dma: &dyn Dma) -> Result<(), container::Error> {
        // SAFETY: the caller's contract is the same.
        unsafe { joined_container::map(dma, &self.mapping) }
    }

    /// # Safety
    /// As [`MapJob::map`].
    unsafe fn share(&self, dma: &dyn Dma, source: &CopySource) -> Result<(), container::Error> {
        // SAFETY: the caller's contract is the same.
        unsafe { joined_container::copy(dma, &self.mapping, source) }
    }

    fn ensure_unmapped(&self, dma: &dyn Dma, refusal: &container::Error) -> bool {
        joined_container::ensure_unmapped(dma, self.mapping.span, refusal)
    }
}

impl MapOutcome {
    /// Returns the note for the caller, if the range was not simply pinned.
    pub(super) fn note(self) -> Option<NoteKind> {
        match self {
            Self::Pinned => None,
            Self::Shared(reason) => Some(NoteKind::Shared(reason)),
            Self::PinnedAgain(error) => Some(NoteKind::PinnedAgain(error)),
        }
    }
}

fn is_out_of_memory(error: &container::Error) -> bool {
    error.io().and_then(Errno::from_io_error) == Some(Errno::NOMEM)
}
