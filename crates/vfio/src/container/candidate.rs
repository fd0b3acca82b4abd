//! [`Candidate`]: a device that is to be attached, and [`AttachOptions`], the options for that.

use std::fmt;

use crate::device::{Bound, Source, Target};

/// A device that is to be attached.
#[derive(Debug)]
pub enum Candidate {
    /// One that is not open yet, or open and not bound.
    Source(Source),
    /// One that is bound to the container's iommufd. type1 has none.
    Bound(Bound),
}

/// How a device is attached.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// The token that a virtual function needs where its physical function is assigned, 16 bytes of
    /// a UUID.
    pub token: Option<[u8; 16]>,
    /// What the device reaches, where that is not the container's own mappings: another address
    /// space, or a page table. Without [`Capabilities::nesting`](super::Capabilities::nesting)
    /// there is no choice.
    pub target: Option<Target>,
}

impl From<Source> for Candidate {
    fn from(source: Source) -> Self {
        Self::Source(source)
    }
}

impl From<Bound> for Candidate {
    fn from(bound: Bound) -> Self {
        Self::Bound(bound)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(Source::Fd(_)) => f.write_str("a passed descriptor"),
            Self::Source(Source::Pci(address)) => address.fmt(f),
            Self::Source(Source::Cdev(path) | Source::Sysfs(path)) => path.display().fmt(f),
            Self::Bound(bound) => f.write_str(&bound.device().name()),
        }
    }
}
