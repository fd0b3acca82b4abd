//! [`Error`]: the errors of an address space.

use std::io;
use std::ops::RangeInclusive;

use super::{Note, Span};
use crate::container;

/// An error of an address space.
///
/// After any error but [`Error::Lost`] and [`Error::StillMapped`], everything is as before the
/// call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A range is empty, or reaches past the end of 64 bits.
    #[error("a range of {length:#x} bytes at {start:#x} is empty or reaches past 64 bits")]
    InvalidSpan {
        /// First address.
        start: u64,
        /// Length in bytes.
        length: u64,
    },
    /// Guest memory could not be allocated.
    #[error("cannot allocate {length:#x} bytes of guest memory")]
    Allocation {
        /// Length in bytes.
        length: u64,
        /// Error of the kernel.
        source: io::Error,
    },
    /// A section reaches past the end of its memory.
    #[error(
        "{span}, from offset {offset:#x} of its memory, reaches past the end of the memory \
         ({memory:#x} bytes)"
    )]
    PastMemoryEnd {
        /// Addresses of the section.
        span: Span,
        /// Offset of the section's first byte in the memory.
        offset: u64,
        /// Length of the memory in bytes.
        memory: u64,
    },
    /// A range does not consist of whole granules, or the size of a granule is invalid.
    #[error("{span} does not consist of whole granules of {granule:#x} bytes")]
    PartialGranule {
        /// The section, or the range to populate or discard.
        span: Span,
        /// Size of a granule in bytes.
        granule: u64,
    },
    /// Two sections overlap.
    #[error("{span} overlaps {other}")]
    Overlap {
        /// The section to add.
        span: Span,
        /// A section that stays, or that is added by the same change.
        other: Span,
    },
    /// A range has no section.
    #[error("{span} has no section")]
    NotFound {
        /// The range.
        span: Span,
    },
    /// A range has only a part of a section or of a mapping.
    #[error("{span} has only a part of {cut}, which can only change as a whole")]
    Cut {
        /// The range.
        span: Span,
        /// The section or mapping that lies partly within the range.
        cut: Span,
    },
    /// A section and its memory start at different offsets in a page.
    #[error(
        "cannot map {span}: its first address and its memory have different offsets in a page of \
         {alignment:#x} bytes"
    )]
    Misaligned {
        /// The section.
        span: Span,
        /// Page size of the host, or of the IOMMU if that is larger.
        alignment: u64,
    },
    /// The IOMMU or a device cannot use the addresses of a section.
    #[error("{span} is outside of the usable IOVAs: {}", list_ranges(usable))]
    UnusableIova {
        /// The range to map.
        span: Span,
        /// All usable IOVAs.
        usable: Vec<RangeInclusive<u64>>,
    },
    /// A container cannot hold as many mappings.
    #[error("{needed} mappings are needed, but the limit is {limit}")]
    TooManyMappings {
        /// Number of mappings after the change.
        needed: u64,
        /// Largest number of mappings.
        limit: u32,
    },
    /// The container failed to report the usable IOVAs.
    #[error("cannot read the usable IOVAs")]
    IovaRanges {
        /// Error of the container.
        source: container::Error,
    },
    /// A part of a section could not be mapped.
    #[error("cannot map {span} of the guest")]
    Map {
        /// The part.
        span: Span,
        /// Error of the container.
        source: container::Error,
    },
    /// A mapping could not be unmapped to make room for a new section.
    #[error("cannot unmap {span} of the guest to make room")]
    Unmap {
        /// The mapping.
        span: Span,
        /// Error of the container.
        source: container::Error,
    },
    /// Dirty tracking could not be started or stopped.
    #[error("cannot {} tracking dirty pages", if *on { "start" } else { "stop" })]
    DirtyTracking {
        /// `true` for a start, `false` for a stop.
        on: bool,
        /// Error of the container.
        source: container::Error,
    },
    /// The dirty pages of a mapping could not be read.
    #[error("cannot read the dirty pages of {span} of the guest")]
    DirtyPages {
        /// The mapping, or the whole range of the call.
        span: Span,
        /// Error of the container.
        source: container::Error,
    },
    /// The caller's progress function returned `Break`.
    #[error("mapping was cancelled")]
    Cancelled,
    /// A step failed, and the former mappings could not all be restored.
    ///
    /// The sections are as before the call, but devices do not reach all of them.
    /// [`AddressSpace::restore`](super::AddressSpace::restore) tries again.
    #[error(
        "a failed change could not be undone: devices no longer reach {}, and still reach {}",
        list_spans(ranges),
        list_spans(still_mapped)
    )]
    Lost {
        /// Former mappings that could not be mapped again.
        ranges: Vec<Span>,
        /// Mappings of the failed change that could not be unmapped. Their memory is kept.
        still_mapped: Vec<Span>,
        /// Error of the step that failed.
        source: Box<Error>,
    },
    /// The change is made, but devices still reach memory that was removed.
    ///
    /// The memory is kept. The unmap is repeated when another section is added there.
    #[error(
        "{} of the guest could not be unmapped: devices still reach them",
        list_spans(ranges)
    )]
    StillMapped {
        /// Mappings that are still there, by guest physical address, also behind a virtual IOMMU.
        ranges: Vec<Span>,
        /// Notes of the same change.
        notes: Vec<Note>,
        /// Error of the first unmap that failed.
        source: container::Error,
    },
    /// A range is not in a section of granules, so it cannot be populated or discarded.
    #[error("{span} is not in memory with granules")]
    NotGranules {
        /// The range.
        span: Span,
    },
    /// The container has not joined this address space.
    #[error("the container does not belong to this address space")]
    NotJoined,
    /// The container has already joined this address space.
    #[error("the container belongs to this address space already")]
    AlreadyJoined,
    /// A mapping of a virtual IOMMU leads to addresses without a section.
    #[error("the mapping of {iova} points to {target}, where the guest has no memory for devices")]
    Untranslated {
        /// IOVAs of the mapping.
        iova: Span,
        /// Guest physical addresses of the mapping.
        target: Span,
    },
}

impl Error {
    /// Returns advice for the user, if there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnusableIova { .. } => {
                Some("give the guest less memory below this, or move it out of the reserved range")
            }
            Self::TooManyMappings { .. } => Some(
                "use larger granules (virtio-mem block size), or raise \
                 vfio_iommu_type1.dma_entry_limit",
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

fn list_ranges(ranges: &[RangeInclusive<u64>]) -> String {
    let texts: Vec<_> = ranges
        .iter()
        .map(|range| format!("{:#x}-{:#x}", range.start(), range.end()))
        .collect();
    if texts.is_empty() {
        "none".into()
    } else {
        texts.join(", ")
    }
}

fn list_spans(spans: &[Span]) -> String {
    let texts: Vec<_> = spans.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "nothing".into()
    } else {
        texts.join(", ")
    }
}
