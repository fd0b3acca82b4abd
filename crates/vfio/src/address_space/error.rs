//! What goes wrong with an address space.

use super::{Note, Span};
use crate::container;
use std::io;
use std::ops::RangeInclusive;

/// What went wrong with an address space. Unless it is [`Error::Lost`] or [`Error::StillMapped`],
/// everything is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A range has no bytes, or goes past the end of 64 bits.
    #[error("{length:#x} bytes from {start:#x} on are not a range of addresses")]
    Span {
        /// Where it was to start.
        start: u64,
        /// How many bytes.
        length: u64,
    },
    /// Guest memory could not be allocated.
    #[error("cannot allocate {length:#x} bytes of guest memory")]
    Memory {
        /// The length in bytes.
        length: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A section's memory is not that long.
    #[error(
        "{span} from offset {offset:#x} reaches past the end of its memory of {memory:#x} bytes"
    )]
    Beyond {
        /// The section.
        span: Span,
        /// Where it starts in the memory.
        offset: u64,
        /// The memory's length in bytes.
        memory: u64,
    },
    /// A section does not consist of whole granules.
    #[error("{span} does not consist of whole granules of {granule:#x} bytes")]
    Granule {
        /// The section, or what was to be populated or discarded.
        span: Span,
        /// The bytes of a granule.
        granule: u64,
    },
    /// Two sections overlap.
    #[error("{span} overlaps {with}, which stays")]
    Overlap {
        /// What was to be added.
        span: Span,
        /// What is there, or is to be added as well.
        with: Span,
    },
    /// There is no such section.
    #[error("{span} has no section")]
    NotFound {
        /// What was asked for.
        span: Span,
    },
    /// A range has a part of a section only, or of what is mapped as a whole.
    #[error("{span} cuts {piece}, which can only change as a whole")]
    Cut {
        /// The range.
        span: Span,
        /// What it cuts.
        piece: Span,
    },
    /// A section and its memory do not lie alike in pages.
    #[error(
        "{span} cannot be mapped: it and its memory start at different places in a page of {alignment:#x} bytes"
    )]
    Misaligned {
        /// The section.
        span: Span,
        /// The page size of the host, or of the IOMMU where that is larger.
        alignment: u64,
    },
    /// The IOMMU or a device cannot use addresses of a section.
    #[error("{span} is outside of the IOVAs that can be used: {}", list(usable))]
    Outside {
        /// What was to be mapped.
        span: Span,
        /// What can be used.
        usable: Vec<RangeInclusive<u64>>,
    },
    /// The backend can hold so many mappings only.
    #[error("{needed} mappings are needed, but the limit is {limit}")]
    TooManyMappings {
        /// How many there would be.
        needed: u64,
        /// How many there can be.
        limit: u32,
    },
    /// The usable IOVAs could not be asked for.
    #[error("cannot read the usable IOVAs")]
    IovaRanges {
        /// The container's answer.
        source: container::Error,
    },
    /// A part could not be mapped.
    #[error("cannot map {span} of the guest")]
    Map {
        /// The part.
        span: Span,
        /// The container's answer.
        source: container::Error,
    },
    /// What had to make room could not be unmapped.
    #[error("cannot unmap {span} of the guest to make room")]
    Unmap {
        /// The mapping.
        span: Span,
        /// The container's answer.
        source: container::Error,
    },
    /// Dirty tracking could not be begun or ended.
    #[error("cannot {} tracking what devices write", if *on { "begin" } else { "end" })]
    DirtyTracking {
        /// What was asked for.
        on: bool,
        /// The container's answer.
        source: container::Error,
    },
    /// It could not be asked which pages were written to.
    #[error("cannot read which pages of {span} of the guest were written to")]
    DirtyPages {
        /// The mapping, or all that was asked for.
        span: Span,
        /// The container's answer.
        source: container::Error,
    },
    /// The caller's progress function ended it.
    #[error("mapping was cancelled")]
    Cancelled,
    /// A step failed, and what was before could not be restored: the sections that are named are
    /// known, but devices do not reach all of them ([`super::AddressSpace::restore`] tries again).
    #[error(
        "a failed change could not be undone: devices no longer reach {}, and still reach {}",
        spans(ranges),
        spans(still)
    )]
    Lost {
        /// What is not mapped any more: it had to make room, and could not be mapped again.
        ranges: Vec<Span>,
        /// What is mapped still, though it is no section. Its memory is kept.
        still: Vec<Span>,
        /// Why the step failed.
        source: Box<Error>,
    },
    /// All is done, but devices reach what was removed still. Its memory is kept; where something
    /// else is added there, it is tried again.
    #[error(
        "{} of the guest could not be unmapped: devices still reach them",
        spans(ranges)
    )]
    StillMapped {
        /// What is mapped still; behind a virtual IOMMU, the guest physical addresses that it leads
        /// to.
        ranges: Vec<Span>,
        /// What was not simply mapped by the same change.
        notes: Vec<Note>,
        /// The first refusal.
        source: container::Error,
    },
    /// A range is not made of granules: nothing in it can be populated or discarded.
    #[error("{span} is not in memory that is plugged in granules")]
    NotGranules {
        /// The range.
        span: Span,
    },
    /// The container is none of this address space's.
    #[error("the container does not belong to this address space")]
    NotMember,
    /// The container belongs to this address space already.
    #[error("the container belongs to this address space already")]
    Member,
    /// A virtual IOMMU's mapping leads to where no memory is.
    #[error("the mapping of {iova} points to {target}, where the guest has no memory for devices")]
    Untranslated {
        /// The mapping.
        iova: Span,
        /// Where it leads.
        target: Span,
    },
}

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Outside { .. } => {
                Some("give the guest less memory below this, or move it out of the reserved range")
            }
            Self::TooManyMappings { .. } => Some(
                "use larger granules (virtio-mem block size), or raise vfio_iommu_type1.dma_entry_limit",
            ),
            Self::Lost { source, .. } => source.hint(),
            Self::IovaRanges { source }
            | Self::Map { source, .. }
            | Self::Unmap { source, .. }
            | Self::DirtyTracking { source, .. }
            | Self::DirtyPages { source, .. }
            | Self::StillMapped { source, .. } => source.hint(),
            _ => None,
        }
    }
}

fn list(ranges: &[RangeInclusive<u64>]) -> String {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|r| format!("{:#x}-{:#x}", r.start(), r.end()))
        .collect();
    if ranges.is_empty() {
        "none".into()
    } else {
        ranges.join(", ")
    }
}

fn spans(ranges: &[Span]) -> String {
    let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    if ranges.is_empty() {
        "nothing".into()
    } else {
        ranges.join(", ")
    }
}
