//! [`Note`]: what was not simply mapped, though nothing failed.

use super::section::Skipped;
use super::sharing::Why;
use super::{Error, Span};
use crate::container;
use std::{error, fmt, iter};

/// Something of note about a section that was added, or mapped in one more container.
#[derive(Debug)]
pub struct Note {
    /// The section, or the part of it.
    pub span: Span,
    /// What is to be noted.
    pub what: Noted,
}

/// What is to be noted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Noted {
    /// Devices do not reach it, by rule.
    Skipped(Skipped),
    /// Devices do not reach it until it is [restored](super::AddressSpace::restore).
    Withdrawn,
    /// Devices reach only this much of it: its whole pages.
    Trimmed(Span),
    /// Devices do not reach it, since it could not be mapped: a BAR, or what a mapping of a virtual
    /// IOMMU leads to since the guest's memory changed. It is tried again when that is
    /// [restored](super::AddressSpace::restore).
    NotMapped(Error),
    /// It shares its pins with another container.
    Shared(Why),
    /// It was to share its pins with another container, which was refused: it is pinned, and
    /// charged, again.
    PinnedAgain(container::Error),
    /// What is to be noted of the IOVAs behind a virtual IOMMU that lead to it.
    Behind(Box<Note>),
    /// If all of its granules were populated, all sections together would need more mappings than
    /// there can be.
    Granules {
        /// How many there would be.
        needed: u64,
        /// How many there can be.
        limit: u32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, what } = self;
        match what {
            Noted::Skipped(why) => write!(f, "devices do not reach {span}: {why}"),
            Noted::Withdrawn => write!(f, "devices do not reach {span} until it is restored"),
            Noted::Trimmed(part) => {
                write!(f, "of {span}, devices reach the whole pages only: {part}")
            }
            Noted::NotMapped(error) => {
                write!(f, "devices do not reach {span}: {}", causes(error))
            }
            Noted::PinnedAgain(error) => {
                write!(
                    f,
                    "{span} is pinned again, since it cannot share its pins with another container: {}",
                    causes(error)
                )
            }
            Noted::Behind(note) => {
                write!(f, "of what leads to {span} behind a virtual IOMMU: {note}")
            }
            Noted::Shared(why) => write!(f, "{span} shares its pins with another container: {why}"),
            Noted::Granules { needed, limit } => {
                write!(
                    f,
                    "all of {span} would need {needed} mappings, but the limit is {limit}"
                )
            }
        }
    }
}

/// An error, with what caused it.
fn causes(error: &dyn error::Error) -> String {
    let all: Vec<_> = iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect();
    all.join(": ")
}
