//! The domain, the capabilities and the style, which all sections of the command line share.

use std::cell::OnceCell;
use std::collections::HashMap;

use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::{Arch, Board, Domain, IdSet, Machine, Platform};

use crate::boot_order::BootOrder;
use crate::capabilities::Capabilities;
use crate::error::Error;

/// Folder of the guests' sockets and files; each guest has a folder below it.
pub const STATE_DIR: &str = "/run/passthru";

/// Folder of the firmware's variables, as `NAME_VARS.fd`, for guests whose domain names no file and
/// that run without a manager. The files survive a reboot of the host.
pub const NVRAM_DIR: &str = "/var/lib/passthru/nvram";

/// Style of a command line, by the program that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For a manager, which opens the devices, passes descriptors, and starts the guest by QMP.
    Managed,
    /// For a shell: QEMU opens everything by itself and starts the guest at once.
    Standalone,
}

/// The domain and the emulator that a command line is made for.
pub(crate) struct Context<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) machine: Machine,
    pub(crate) style: Style,
    pub(crate) boot: BootOrder,
    /// Numbers of the disks' topmost block nodes, and last the first number after all of them.
    pub(crate) disk_nodes: OnceCell<Vec<usize>>,
    /// Numbers of the block nodes of the host's SCSI devices, by the device's address in memory.
    pub(crate) scsi_nodes: OnceCell<HashMap<*const Hostdev, usize>>,
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
            boot: BootOrder::new(domain),
            disk_nodes: OnceCell::new(),
            scsi_nodes: OnceCell::new(),
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

    /// Returns a path in the guest's folder below [`STATE_DIR`].
    pub(crate) fn state_path(&self, file: &str) -> String {
        format!("{STATE_DIR}/domain-{}/{file}", self.name())
    }

    /// Returns those of `nodes` (of the host) that the emulator's threads may run on; `None` if
    /// there are none. Threads that allocate memory on `nodes` run there.
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
        let allowed = self.capabilities.nodes().of_cpus(cpus);
        let both = IdSet::from_ids(nodes.iter().filter(|node| allowed.contains(*node)));
        (!both.is_empty()).then_some(both)
    }

    /// Returns whether a device is assigned through iommufd.
    pub(crate) fn uses_iommufd(&self, hostdev: &Hostdev) -> bool {
        self.domain.backend(hostdev) == Some(passthru_domain::Backend::Iommufd)
    }
}
