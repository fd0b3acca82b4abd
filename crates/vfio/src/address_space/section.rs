//! [`Section`]: memory, a BAR or an emulated region at an address of the guest.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::{Error, Memory, Span};
use crate::container::Access;

/// A region at a range of guest physical addresses (behind a virtual IOMMU: of IOVAs).
#[derive(Clone, Debug)]
pub struct Section {
    span: Span,
    kind: SectionKind,
    access: Access,
}

/// The kind of a section, which decides whether the section is mapped.
#[derive(Clone, Debug)]
pub enum SectionKind {
    /// Guest memory. All of it must be mapped.
    Ram(Backing),
    /// Guest memory that is populated and discarded in granules (virtio-mem). All populated
    /// granules must be mapped.
    Granules {
        /// The memory.
        backing: Backing,
        /// Size of a granule in bytes: a power of two, at least a page. Each granule is a mapping
        /// of its own.
        granule: u64,
    },
    /// A BAR of a device, for peer-to-peer DMA. A BAR that cannot be mapped is only noted.
    Bar(Backing),
    /// Read-only memory, such as firmware. Never mapped.
    Rom,
    /// A bounce buffer for emulated accesses, which the guest does not see. Never mapped.
    Bounce,
    /// Emulated registers. Never mapped.
    Emulated,
}

/// A part of a memory.
#[derive(Clone, Debug)]
pub struct Backing {
    /// The memory. It is kept alive for as long as devices reach it.
    pub memory: Arc<Memory>,
    /// Offset of the part's first byte in the memory.
    pub offset: u64,
}

/// The rule by which a section is not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// [`SectionKind::Rom`].
    Rom,
    /// [`SectionKind::Bounce`].
    Bounce,
    /// [`SectionKind::Emulated`].
    Emulated,
    /// A BAR in the upper half of the 64-bit addresses. A guest puts a BAR there for a moment, to
    /// find out its size.
    BarSizing,
    /// The section has no whole page.
    SmallerThanPage,
}

impl Section {
    /// Makes a section of guest memory that devices read and write. The section begins at `offset`
    /// bytes in the memory.
    ///
    /// # Errors
    /// - If the section reaches past the end of its memory: [`Error::PastMemoryEnd`].
    pub fn ram(span: Span, memory: &Arc<Memory>, offset: u64) -> Result<Self, Error> {
        let backing = Backing {
            memory: Arc::clone(memory),
            offset,
        };
        Self::new(span, SectionKind::Ram(backing), Access::ReadWrite)
    }

    /// Makes a section of any kind. `access` limits what devices may do there.
    ///
    /// # Errors
    /// - If the section reaches past the end of its memory: [`Error::PastMemoryEnd`].
    /// - If a granule is not a power of two, or is smaller than a page: [`Error::PartialGranule`].
    /// - If the section does not start and end with a granule: [`Error::PartialGranule`].
    pub fn new(span: Span, kind: SectionKind, access: Access) -> Result<Self, Error> {
        if let SectionKind::Granules { granule, .. } = kind {
            check_granule(span, granule)?;
        }
        if let Some(backing) = kind.backing() {
            check_end(span, backing)?;
        }
        Ok(Self { span, kind, access })
    }

    /// Returns the addresses of the section.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the kind of the section.
    pub fn kind(&self) -> &SectionKind {
        &self.kind
    }

    /// Returns the access that devices are allowed.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns the rule by which the section is not mapped, if there is one.
    pub fn skip_reason(&self) -> Option<SkipReason> {
        match self.kind {
            SectionKind::Ram(_) | SectionKind::Granules { .. } => None,
            SectionKind::Bar(_) => (self.span.last() >> 63 != 0).then_some(SkipReason::BarSizing),
            SectionKind::Rom => Some(SkipReason::Rom),
            SectionKind::Bounce => Some(SkipReason::Bounce),
            SectionKind::Emulated => Some(SkipReason::Emulated),
        }
    }

    /// Returns `part` of this section as a section at the IOVAs `iova`.
    ///
    /// Devices get the access that both this section and `access` allow. If that is none, the
    /// result is `None`.
    pub(super) fn translated_part(&self, part: Span, iova: Span, access: Access) -> Option<Self> {
        let distance = part.start() - self.span.start();
        let kind = match &self.kind {
            SectionKind::Ram(backing) | SectionKind::Granules { backing, .. } => {
                SectionKind::Ram(backing.advanced_by(distance))
            }
            SectionKind::Bar(backing) => SectionKind::Bar(backing.advanced_by(distance)),
            unmapped => unmapped.clone(),
        };
        let access = match (self.access, access) {
            (Access::ReadWrite, other) | (other, Access::ReadWrite) => other,
            (one, other) if one == other => one,
            _ => return None,
        };
        Some(Self {
            span: iova,
            kind,
            access,
        })
    }

    /// Returns the addresses of `length` bytes of memory in this section, if it has all of them.
    pub(super) fn span_of(&self, part: &Backing, length: u64) -> Option<Span> {
        let backing = self.kind.backing()?;
        if !Arc::ptr_eq(&backing.memory, &part.memory) {
            return None;
        }
        let distance = part.offset.checked_sub(backing.offset)?;
        let start = self.span.start().checked_add(distance)?;
        let span = Span::new(start, length).ok()?;
        self.span.contains(span).then_some(span)
    }

    /// Returns whether both sections are of the same kind, memory and access at the same addresses.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.span == other.span && self.access == other.access && self.kind.is_same(&other.kind)
    }
}

impl SectionKind {
    /// Returns the memory behind the section. Kinds that are never mapped have none.
    pub fn backing(&self) -> Option<&Backing> {
        match self {
            Self::Ram(backing) | Self::Granules { backing, .. } | Self::Bar(backing) => {
                Some(backing)
            }
            Self::Rom | Self::Bounce | Self::Emulated => None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let has_same_granule = match (self, other) {
            (Self::Granules { granule, .. }, Self::Granules { granule: other, .. }) => {
                granule == other
            }
            _ => mem::discriminant(self) == mem::discriminant(other),
        };
        let has_same_backing = match (self.backing(), other.backing()) {
            (Some(own), Some(other)) => own.is_same(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        has_same_granule && has_same_backing
    }
}

impl Backing {
    fn advanced_by(&self, distance: u64) -> Self {
        Self {
            memory: Arc::clone(&self.memory),
            offset: self.offset + distance,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.offset == other.offset && Arc::ptr_eq(&self.memory, &other.memory)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rom => "it is read-only memory",
            Self::Bounce => "it is a buffer for emulated accesses",
            Self::Emulated => "its registers are emulated",
            Self::BarSizing => "the guest is finding out the size of the BAR",
            Self::SmallerThanPage => "it has no whole page",
        })
    }
}

fn check_granule(span: Span, granule: u64) -> Result<(), Error> {
    let page = rustix::param::page_size() as u64;
    let is_valid = granule >= page && granule.is_power_of_two();
    if is_valid && span.aligned(granule) == Some(span) {
        Ok(())
    } else {
        Err(Error::PartialGranule { span, granule })
    }
}

fn check_end(span: Span, backing: &Backing) -> Result<(), Error> {
    let Backing { memory, offset } = backing;
    let end = offset.checked_add(span.length());
    if end.is_some_and(|end| memory.has_bytes(end)) {
        return Ok(());
    }
    Err(Error::PastMemoryEnd {
        span,
        offset: *offset,
        memory: memory.len(),
    })
}
