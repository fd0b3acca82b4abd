//! The capabilities of an emulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use passthru_domain::{Arch, Domain, Error, FirmwareChoice, IdSet, Machine, Platform};

use super::boards;
use super::dmi::Dmi;
use super::error::ProbeError;
use super::nodes::Nodes;
use super::probe::{self, Spawn};
use super::probed::{Probed, Version};
use crate::firmware::{FirmwareCatalog, FirmwareDescriptor};

/// Time limit for a QEMU to answer all questions of a probe.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Capabilities of a QEMU: its machine types, devices and properties.
///
/// - Built-in capabilities are those of a recent QEMU. They have all devices and properties, and
///   know machine types by the pattern of the name.
/// - Probed capabilities are exactly the answers of a binary.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    arch: Arch,
    probed: Option<Probed>,
    nodes: Nodes,
    dmi: Dmi,
    firmware: FirmwareCatalog,
}

impl Capabilities {
    /// Version of the built-in capabilities.
    pub const BUILTIN_VERSION: Version = Version {
        major: 11,
        minor: 1,
        micro: 0,
    };

    /// Returns the capabilities of a recent QEMU, without starting one.
    pub const fn builtin(arch: Arch) -> Self {
        Self {
            arch,
            probed: None,
            nodes: Nodes::placeholder(),
            dmi: Dmi::placeholder(),
            firmware: FirmwareCatalog::WellKnown,
        }
    }

    /// Sets the host's NUMA nodes, each with its CPUs. The default is a placeholder: nodes of four
    /// CPUs each.
    #[must_use]
    pub fn with_nodes(self, nodes: Vec<(u32, IdSet)>) -> Self {
        Self {
            nodes: Nodes::new(nodes),
            ..self
        }
    }

    /// Sets the host's identity: the values of files in `/sys/class/dmi/id`. They go to a guest
    /// with `<smbios mode='host'/>`. The default is a placeholder for each value.
    #[must_use]
    pub fn with_dmi(self, values: BTreeMap<String, String>) -> Self {
        Self {
            dmi: Dmi::new(values),
            ..self
        }
    }

    pub(crate) const fn dmi(&self) -> &Dmi {
        &self.dmi
    }

    /// Sets the firmwares that a domain's firmware is chosen from. The default is those at
    /// well-known paths.
    #[must_use]
    pub fn with_firmware(self, firmware: FirmwareCatalog) -> Self {
        Self { firmware, ..self }
    }

    /// Returns the descriptor by which the firmware of a domain is chosen. For a complete domain,
    /// it is the one that the completion took.
    ///
    /// `None` if no descriptor fits, or the domain does not ask for UEFI or BIOS firmware.
    pub fn firmware_descriptor(&self, domain: &Domain) -> Option<FirmwareDescriptor> {
        let arch = domain.os.kind.arch.unwrap_or(self.arch);
        let machine = self.machine(arch, domain.os.kind.machine.as_deref()).ok()?;
        self.firmware.chosen(domain, &machine, self)
    }

    pub(crate) const fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Starts a QEMU without a machine, and asks it for its capabilities by QMP. `spawn` starts the
    /// process.
    ///
    /// # Errors
    /// - If the binary cannot be started, then [`ProbeError::Start`].
    /// - If it does not answer within 20 seconds, then [`ProbeError::Ask`], with the binary's
    ///   standard error.
    /// - If an answer is not that of a QEMU, then [`ProbeError::Answer`].
    /// - If the binary is for an architecture that is not supported, then [`ProbeError::Target`].
    pub fn probe(binary: &Path, spawn: Spawn<'_>) -> Result<Self, ProbeError> {
        Self::from_probed(probe::probe(binary, spawn, PROBE_LIMIT)?)
    }

    pub(crate) fn from_probed(probed: Probed) -> Result<Self, ProbeError> {
        let Some(arch) = boards::arch_of_target(&probed.target) else {
            return Err(ProbeError::Target {
                binary: probed.binary,
                target: probed.target,
            });
        };
        Ok(Self {
            arch,
            probed: Some(probed),
            nodes: Nodes::placeholder(),
            dmi: Dmi::placeholder(),
            firmware: FirmwareCatalog::WellKnown,
        })
    }

    /// Returns the answers of the probed binary; `None` for built-in capabilities.
    pub(super) const fn probed(&self) -> Option<&Probed> {
        self.probed.as_ref()
    }

    /// Returns the version of the QEMU.
    pub fn version(&self) -> Version {
        self.probed
            .as_ref()
            .map_or(Self::BUILTIN_VERSION, |probed| probed.version)
    }

    /// Returns the path of the probed binary; `None` for built-in capabilities.
    pub fn binary(&self) -> Option<&Path> {
        self.probed.as_ref().map(|probed| probed.binary.as_path())
    }

    /// Returns whether devices can be assigned through iommufd: there is `-object iommufd`, and
    /// `vfio-pci` takes an open descriptor (`fd=`).
    pub fn has_iommufd(&self) -> bool {
        self.has_type("iommufd") && self.has_property("vfio-pci", "fd")
    }

    /// Returns whether there is a type of device or object with a name.
    pub fn has_type(&self, name: &str) -> bool {
        self.probed
            .as_ref()
            .is_none_or(|probed| probed.types.contains(name))
    }

    /// Returns whether a device has a property. The result is true for a device whose properties
    /// were not probed.
    pub fn has_property(&self, device: &str, property: &str) -> bool {
        let known = self
            .probed
            .as_ref()
            .and_then(|probed| probed.properties.get(device));
        known.is_none_or(|properties| properties.contains(property))
    }

    /// Returns whether the emulator runs guests of an architecture. A 64-bit x86 emulator also runs
    /// 32-bit guests.
    fn runs(&self, arch: Arch) -> bool {
        arch == self.arch || (arch == Arch::I686 && self.arch == Arch::X86_64)
    }

    /// Returns a hint with the known machine types for the same board, or else all families.
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
        match self.binary() {
            Some(path) if arch == self.arch => path.display().to_string(),
            _ => format!("/usr/bin/qemu-system-{}", boards::target_of_arch(arch)),
        }
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

    fn cpu(&self, machine: &Machine, emulator: &str) -> Option<String> {
        // Built-in capabilities know an emulator by QEMU's own name of it alone.
        let is_i386 = match self.probed {
            Some(_) => self.arch == Arch::I686,
            None => emulator.ends_with(boards::target_of_arch(Arch::I686)),
        };
        boards::cpu(machine.arch, machine.board, is_i386).map(str::to_owned)
    }

    fn firmware(
        &self,
        domain: &Domain,
        machine: &Machine,
    ) -> Result<Option<FirmwareChoice>, Error> {
        self.firmware.choose(domain, machine, self)
    }
}
