//! What the sections of the command line share: the domain, the emulator's capabilities, the style
//! of the line, and look-ups in them.

use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::{Arch, Board, Domain, IdSet, Machine, Platform};

use crate::boot_order::BootOrder;
use crate::capabilities::Capabilities;
use crate::error::Error;

/// Where the running guests' sockets and files are: a folder for each, by the guest's name.
pub const STATE_DIR: &str = "/run/passthru";

/// Where the variables of guests' firmware are whose domains name no file, as NAME_VARS.fd: they
/// outlive a reboot of the host.
pub const NVRAM_DIR: &str = "/var/lib/passthru/nvram";

/// Who runs the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A manager: it opens the devices, passes descriptors, and lets the guest go by QMP.
    Managed,
    /// A shell: QEMU opens everything by itself and starts the guest at once.
    Standalone,
}

/// What every part needs.
pub(crate) struct Context<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) machine: Machine,
    pub(crate) style: Style,
    pub(crate) boot: BootOrder,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        domain: &'a Domain,
        capabilities: &'a Capabilities,
        style: Style,
    ) -> Result<Self, Error> {
        let arch = domain.os.kind.arch.unwrap_or_else(|| capabilities.arch());
        let machine = capabilities
            .machine(arch, domain.os.kind.machine.as_deref())
            .map_err(Error::Machine)?;
        Ok(Self {
            domain,
            capabilities,
            machine,
            style,
            boot: BootOrder::of(domain),
        })
    }

    pub(crate) fn name(&self) -> &'a str {
        self.domain.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_standalone(&self) -> bool {
        self.style == Style::Standalone
    }

    pub(crate) fn is_kvm(&self) -> bool {
        self.domain.kind != Some(passthru_domain::VirtType::Qemu)
    }

    pub(crate) fn is_arm(&self) -> bool {
        self.machine.arch == Arch::Aarch64
    }

    pub(crate) fn is_x86(&self) -> bool {
        matches!(self.machine.arch, Arch::X86_64 | Arch::I686)
    }

    pub(crate) fn board(&self) -> Board {
        self.machine.board
    }

    /// A path in the guest's folder of [`STATE_DIR`].
    pub(crate) fn state_path(&self, file: &str) -> String {
        format!("{STATE_DIR}/domain-{}/{file}", self.name())
    }

    /// The host's nodes where threads that allocate memory of `nodes` run: those of them that the
    /// emulator's threads may run on. None where they may run on none.
    pub(crate) fn nodes_to_run_on(&self, nodes: &IdSet) -> Option<IdSet> {
        let pinned = self
            .domain
            .cputune
            .as_ref()
            .and_then(|tune| tune.emulatorpin.as_ref());
        let pinned = pinned.or_else(|| self.domain.vcpu.as_ref()?.cpuset.as_ref());
        let Some(cpus) = pinned else {
            return Some(nodes.clone());
        };
        let there = self.capabilities.nodes().of_cpus(cpus);
        Some(IdSet::of(nodes.iter().filter(|node| there.contains(*node))))
            .filter(|both| !both.is_empty())
    }

    pub(crate) fn uses_iommufd(&self, hostdev: &Hostdev) -> bool {
        self.domain.backend(hostdev) == Some(passthru_domain::Backend::Iommufd)
    }
}
