//! [`Note`]: a remark on a change that succeeded.

use std::{error, fmt, iter};

use super::section::SkipReason;
use super::sharing::SharingReason;
use super::{Error, Span};
use crate::container;

/// A remark on a section that was added, or mapped in one more container.
#[derive(Debug)]
pub struct Note {
    /// The section, or a part of it.
    pub span: Span,
    /// The remark.
    pub kind: NoteKind,
}

/// The remark of a [`Note`].
#[derive(Debug)]
#[non_exhaustive]
pub enum NoteKind {
    /// Devices do not reach the section, by rule.
    Skipped(SkipReason),
    /// Devices do not reach the section until it is [restored](super::AddressSpace::restore).
    Withdrawn,
    /// Devices reach only this part of the section: its whole pages.
    Trimmed(Span),
    /// Devices do not reach a section that could not be mapped.
    ///
    /// The section is a BAR, or behind a virtual IOMMU and mapped after the guest's memory changed.
    /// [`AddressSpace::restore`](super::AddressSpace::restore) tries again.
    NotMapped(Error),
    /// The section shares its pins with another container.
    Shared(SharingReason),
    /// The section is pinned and charged again: the kernel refused to share the pins of another
    /// container.
    PinnedAgain(container::Error),
    /// A remark on the IOVAs behind a virtual IOMMU that are translated to the section.
    BehindViommu(Box<Note>),
    /// If all granules of the section were populated, the sections would need more mappings than
    /// the containers can hold.
    GranuleLimit {
        /// Number of mappings with all granules populated.
        needed: u64,
        /// Number of mappings that the containers can hold.
        limit: u32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, kind } = self;
        match kind {
            NoteKind::Skipped(reason) => write!(f, "devices do not reach {span}: {reason}"),
            NoteKind::Withdrawn => write!(f, "devices do not reach {span} until it is restored"),
            NoteKind::Trimmed(part) => {
                write!(f, "devices reach only the whole pages of {span}: {part}")
            }
            NoteKind::NotMapped(error) => {
                write!(f, "devices do not reach {span}: {}", with_causes(error))
            }
            NoteKind::PinnedAgain(error) => {
                let error = with_causes(error);
                write!(
                    f,
                    "{span} is pinned again, since the pins of another container cannot be \
                     shared: {error}"
                )
            }
            NoteKind::BehindViommu(note) => {
                write!(f, "behind a virtual IOMMU, in mappings of {span}: {note}")
            }
            NoteKind::Shared(reason) => {
                write!(f, "{span} shares the pins of another container: {reason}")
            }
            NoteKind::GranuleLimit { needed, limit } => {
                write!(
                    f,
                    "with all granules of {span} populated, {needed} mappings are needed, but the \
                     limit is {limit}"
                )
            }
        }
    }
}

/// Returns the text of an error with the errors that caused it.
fn with_causes(error: &dyn error::Error) -> String {
    let chain: Vec<_> = iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect();
    chain.join(": ")
}
