//! [`Section`]: something at an address of a guest, and the rules that say whether devices reach it.

use super::{Error, Memory, Span};
use crate::container::Access;
use std::fmt;
use std::sync::Arc;

/// Something at a range of guest physical addresses (or, behind a virtual IOMMU, of IOVAs).
#[derive(Clone, Debug)]
pub struct Section {
    span: Span,
    kind: Kind,
    access: Access,
}

/// What a section is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Memory of the guest: it must be mapped.
    Ram(Backing),
    /// Memory of the guest that comes and goes in granules (virtio-mem): what is populated must be
    /// mapped.
    Granules {
        /// The memory.
        backing: Backing,
        /// The bytes of a granule, each of which is a mapping of its own: a power of two, at least
        /// a page.
        granule: u64,
    },
    /// A device's BAR: it is mapped where that works, so that other devices reach it (P2P).
    Bar(Backing),
    /// Read-only memory, as the firmware's. Devices have no business there.
    Rom,
    /// A buffer for emulated accesses, which is not the memory that the guest sees.
    Bounce,
    /// Emulated registers.
    Emulated,
}

/// A part of some memory.
#[derive(Clone, Debug)]
pub struct Backing {
    /// The memory, which is kept for as long as devices reach it.
    pub memory: Arc<Memory>,
    /// Where the part starts in it, in bytes.
    pub offset: u64,
}

/// Why a section is not mapped, by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// [`Kind::Rom`].
    Rom,
    /// [`Kind::Bounce`].
    Bounce,
    /// [`Kind::Emulated`].
    Emulated,
    /// A BAR in the upper half of the 64-bit addresses, where the guest puts it for the moment in
    /// which it finds out its size.
    BarSizing,
    /// It has no whole page.
    SmallerThanPage,
}

impl Section {
    /// Makes a section of guest memory, which devices read and write, from `offset` in the memory
    /// on.
    ///
    /// # Errors
    /// [`Error::Beyond`] where the memory ends before.
    pub fn ram(span: Span, memory: &Arc<Memory>, offset: u64) -> Result<Self, Error> {
        let backing = Backing {
            memory: Arc::clone(memory),
            offset,
        };
        Self::new(span, Kind::Ram(backing), Access::ReadWrite)
    }

    /// Makes a section of any kind, and says what devices may do there.
    ///
    /// # Errors
    /// [`Error::Beyond`] where its memory ends before; [`Error::Granule`] where a granule is no
    /// power of two or less than a page, or the section does not start and end with one.
    pub fn new(span: Span, kind: Kind, access: Access) -> Result<Self, Error> {
        if let Kind::Granules { granule, .. } = kind {
            let page = rustix::param::page_size() as u64;
            let whole =
                |granule: u64| granule.is_power_of_two() && span.aligned(granule) == Some(span);
            if granule < page || !whole(granule) {
                return Err(Error::Granule { span, granule });
            }
        }
        if let Some(Backing { memory, offset }) = kind.backing()
            && !offset
                .checked_add(span.length())
                .is_some_and(|end| memory.has(end))
        {
            return Err(Error::Beyond {
                span,
                offset: *offset,
                memory: memory.len(),
            });
        }
        Ok(Self { span, kind, access })
    }

    /// Returns where it is.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns what it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns what devices may do there.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns why it is not mapped, if a rule says so.
    pub fn skipped(&self) -> Option<Skipped> {
        match self.kind {
            Kind::Ram(_) | Kind::Granules { .. } => None,
            Kind::Bar(_) => (self.span.last() >> 63 != 0).then_some(Skipped::BarSizing),
            Kind::Rom => Some(Skipped::Rom),
            Kind::Bounce => Some(Skipped::Bounce),
            Kind::Emulated => Some(Skipped::Emulated),
        }
    }

    /// The part of it at another address: of the same memory, from elsewhere on. Devices can do no
    /// more there than here; nothing where that is nothing.
    pub(super) fn part(&self, part: Span, at: Span, access: Access) -> Option<Self> {
        let moved = |backing: &Backing| Backing {
            offset: backing.offset + (part.start() - self.span.start()),
            ..backing.clone()
        };
        let kind = match &self.kind {
            Kind::Ram(backing) | Kind::Granules { backing, .. } => Kind::Ram(moved(backing)),
            Kind::Bar(backing) => Kind::Bar(moved(backing)),
            other => other.clone(),
        };
        let access = match (self.access, access) {
            (Access::ReadWrite, both) | (both, Access::ReadWrite) => both,
            (one, other) if one == other => one,
            _ => return None,
        };
        Some(Self {
            span: at,
            kind,
            access,
        })
    }

    /// Where it has a part of some memory, if it has all of that part.
    pub(super) fn find(&self, part: &Backing, length: u64) -> Option<Span> {
        let backing = self
            .kind
            .backing()
            .filter(|own| Arc::ptr_eq(&own.memory, &part.memory))?;
        let within = part.offset.checked_sub(backing.offset)?;
        let span = Span::new(self.span.start().checked_add(within)?, length).ok()?;
        self.span.contains(span).then_some(span)
    }

    /// Whether both say that the same is at the same place.
    pub(super) fn same(&self, other: &Self) -> bool {
        let same_kind = match (&self.kind, &other.kind) {
            (Kind::Granules { granule: one, .. }, Kind::Granules { granule: other, .. }) => {
                one == other
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        let same_memory = match (self.kind.backing(), other.kind.backing()) {
            (Some(one), Some(other)) => {
                one.offset == other.offset && Arc::ptr_eq(&one.memory, &other.memory)
            }
            (one, other) => one.is_none() && other.is_none(),
        };
        self.span == other.span && self.access == other.access && same_kind && same_memory
    }
}

impl Kind {
    /// Returns the memory behind it, if it has some that can be mapped.
    pub fn backing(&self) -> Option<&Backing> {
        match self {
            Self::Ram(backing) | Self::Granules { backing, .. } | Self::Bar(backing) => {
                Some(backing)
            }
            Self::Rom | Self::Bounce | Self::Emulated => None,
        }
    }
}

impl fmt::Display for Skipped {
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
