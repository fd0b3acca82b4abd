//! The answers of a probed QEMU.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The answers of a probed QEMU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Probed {
    pub(crate) binary: PathBuf,
    /// QEMU's name of the architecture, such as `x86_64`.
    pub(crate) target: String,
    pub(crate) version: Version,
    /// Names and aliases of machine types.
    pub(crate) machines: BTreeSet<String>,
    /// Types that a `-device` or `-object` can be of.
    pub(crate) types: BTreeSet<String>,
    /// Properties of some devices, by device.
    pub(crate) properties: BTreeMap<String, BTreeSet<String>>,
}

/// Version of a QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Micro version.
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}
