//! The capabilities of an emulator.

use std::path::Path;
use std::time::Duration;

use passthru_domain::{Arch, Error, IdSet, Machine, Platform};

use super::boards;
use super::nodes::Nodes;
use super::probe::{self, ProbeError, Spawn};
use super::probed::{Probed, Version};

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
        Self::from_probed(probe::probe(binary, spawn, PROBE_LIMIT)?)
    }

    pub(crate) fn from_probed(probed: Probed) -> Result<Self, ProbeError> {
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

    /// Returns the answers of the binary that was asked; none for built-in capabilities.
    pub(super) const fn probed(&self) -> Option<&Probed> {
        self.probed.as_ref()
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

    /// A 64-bit x86 emulator also runs 32-bit guests.
    fn runs(&self, arch: Arch) -> bool {
        arch == self.arch || (arch == Arch::I686 && self.arch == Arch::X86_64)
    }

    /// The machine types that may have been meant: the versions of the same board, or all families.
    fn machines_like(&self, arch: Arch, name: &str) -> String {
        let board = boards::board(arch, name);
        let machines = self
            .probed
            .iter()
            .flat_map(|probed| &probed.machines)
            .map(String::as_str);
        let like: Vec<_> = machines
            .filter(|known| boards::is_known(arch, known) && boards::board(arch, known) == board)
            .collect();
        let like = if like.is_empty() {
            boards::families(arch).to_vec()
        } else {
            like
        };
        format!("known are {}", like.join(", "))
    }
}

impl Platform for Capabilities {
    fn arch(&self) -> Arch {
        self.arch
    }

    fn emulator(&self, arch: Arch) -> String {
        let usual = || format!("/usr/bin/qemu-system-{}", boards::target_of_arch(arch));
        self.binary()
            .filter(|_| arch == self.arch)
            .map_or_else(usual, |path| path.display().to_string())
    }

    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error> {
        let name = name.unwrap_or(boards::default_machine(arch));
        match &self.probed {
            Some(probed) if !self.runs(arch) => {
                let target = &probed.target;
                let binary = probed.binary.display();
                let message = format!(
                    "{binary} is for {target} and cannot run guests of architecture {arch}"
                );
                let hint = format!("name an emulator for {arch} in <emulator>");
                Err(Error::new(message).hint(hint))
            }
            Some(probed) if !probed.machines.contains(name) => {
                let message = format!("QEMU {} has no machine type '{name}'", probed.version);
                Err(Error::new(message).hint(self.machines_like(arch, name)))
            }
            None if !boards::is_known(arch, name) => {
                let message = format!("there is no machine type '{name}' for architecture {arch}");
                Err(Error::new(message).hint(self.machines_like(arch, name)))
            }
            _ => Ok(boards::machine(arch, name)),
        }
    }
}
