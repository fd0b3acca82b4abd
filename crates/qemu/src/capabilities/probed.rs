//! The answers of a QEMU that was asked for its capabilities.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a QEMU said of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Probed {
    pub(crate) binary: PathBuf,
    /// QEMU's own word for the architecture: `x86_64`, `aarch64` …
    pub(crate) target: String,
    pub(crate) version: Version,
    /// Names and aliases.
    pub(crate) machines: BTreeSet<String>,
    /// Types that a `-device` or `-object` can be of.
    pub(crate) types: BTreeSet<String>,
    /// Properties of the devices that were asked about.
    pub(crate) properties: BTreeMap<String, BTreeSet<String>>,
}

/// A QEMU's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}
