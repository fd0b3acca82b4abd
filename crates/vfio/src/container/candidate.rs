//! [`Candidate`]: a device to attach, and [`AttachOptions`].

use std::fmt;

use crate::device::{Bound, Source, Target};

/// A device to attach.
#[derive(Debug)]
pub enum Candidate {
    /// A device that is not open, or is open and not bound.
    Source(Source),
    /// A device that is bound to the container's iommufd. type1 refuses it.
    Bound(Bound),
}

/// Options for attaching a device.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// UUID of 16 bytes that a virtual function needs if its physical function is assigned too. See
    /// [`Cdev::bind`](crate::device::Cdev::bind).
    pub token: Option<[u8; 16]>,
    /// Target to attach to, if not the container's own mappings: another address space, or a page
    /// table. Must be `None` without [`Capabilities::nesting`](super::Capabilities::nesting).
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
