//! What a QEMU can do: which machines, devices and properties it has.

mod boards;
mod cache;
mod check;
mod nodes;
mod platform;
mod probe;

pub use cache::Cache;
pub use probe::{ProbeError, Spawn};

use nodes::Nodes;
use passthru_domain::{Arch, IdSet};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a QEMU may take to say what it has.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// What a QEMU can do.
///
/// Built in, everything of a recent QEMU is there and a machine type is known by its name's
/// pattern; probed, exactly what the binary said.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    arch: Arch,
    probed: Option<Probed>,
    nodes: Nodes,
}

/// What a QEMU said of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Probed {
    binary: PathBuf,
    /// QEMU's own word for the architecture: `x86_64`, `aarch64` …
    target: String,
    version: Version,
    /// Names and aliases.
    machines: BTreeSet<String>,
    /// Types that a `-device` or `-object` can be of.
    types: BTreeSet<String>,
    /// Properties of the devices that were asked about.
    properties: BTreeMap<String, BTreeSet<String>>,
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

impl Capabilities {
    /// The version that the built-in capabilities are those of.
    pub const BUILTIN_VERSION: Version = Version {
        major: 11,
        minor: 1,
        micro: 0,
    };

    /// Returns the capabilities of a recent QEMU, without asking one.
    pub const fn builtin(arch: Arch) -> Self {
        Self {
            arch,
            probed: None,
            nodes: Nodes::placeholder(),
        }
    }

    /// Adds what the host's NUMA nodes are, each with its CPUs. Where nobody says, a placeholder of
    /// nodes with four CPUs each stands for the host.
    #[must_use]
    pub fn with_nodes(self, nodes: Vec<(u32, IdSet)>) -> Self {
        Self {
            nodes: Nodes::of(nodes),
            ..self
        }
    }

    pub(crate) const fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Asks a QEMU what it has: starts it without a machine, by the function given, and asks by
    /// QMP.
    ///
    /// # Errors
    /// Where it cannot be started, does not answer in 20 seconds, or is for an architecture that is
    /// not known; with what it wrote to its standard error.
    pub fn probe(binary: &Path, spawn: Spawn<'_>) -> Result<Self, ProbeError> {
        Self::of(probe::probe(binary, spawn, PROBE_LIMIT)?)
    }

    fn of(probed: Probed) -> Result<Self, ProbeError> {
        let unknown = || ProbeError::Target {
            binary: probed.binary.clone(),
            target: probed.target.clone(),
        };
        let arch = boards::arch_of_target(&probed.target).ok_or_else(unknown)?;
        Ok(Self {
            arch,
            probed: Some(probed),
            nodes: Nodes::placeholder(),
        })
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.probed
            .as_ref()
            .map_or(Self::BUILTIN_VERSION, |probed| probed.version)
    }

    /// Returns the path of the binary that was asked.
    pub fn binary(&self) -> Option<&Path> {
        self.probed.as_ref().map(|probed| probed.binary.as_path())
    }

    /// Whether devices can be assigned through iommufd: `-object iommufd`, and `vfio-pci` that
    /// takes an open descriptor.
    pub fn has_iommufd(&self) -> bool {
        self.has_type("iommufd") && self.has_property("vfio-pci", "fd")
    }

    /// Whether there is a type of device or object of that name.
    pub fn has_type(&self, name: &str) -> bool {
        self.probed
            .as_ref()
            .is_none_or(|probed| probed.types.contains(name))
    }

    /// Whether a device has a property. Of a device that was not asked about nothing is known, and
    /// the answer is yes.
    pub fn has_property(&self, device: &str, property: &str) -> bool {
        let known = self
            .probed
            .as_ref()
            .and_then(|probed| probed.properties.get(device));
        known.is_none_or(|properties| properties.contains(property))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}
