//! From a complete domain to QEMU's command line.
//!
//! [`command_line`] is a pure function: the same domain gives the same options. It opens nothing
//! and looks at nothing; where the line needs an open file it holds a [`Want`], which is resolved
//! when the line is rendered. Options and their order are libvirt's, so that a guest gets the same
//! machine from either. One file a concern: each makes the options of its elements.

mod audio;
mod backend;
mod block;
mod boot;
mod char_backend;
mod chardev;
mod clock;
mod controller;
mod cpu;
mod disk;
mod error;
mod filesystem;
mod firmware;
mod graphics;
mod guest_services;
mod hostdev;
mod hostdev_scsi;
mod hyperv;
mod input;
mod iommu;
mod iothreads;
mod machine;
mod memballoon;
mod memory;
mod net;
mod netdev;
mod numa;
mod opt;
mod overrides;
mod pci;
mod process;
mod protocol;
mod redirect;
mod render;
mod rng;
mod secret;
mod security;
mod sound;
mod sysinfo;
mod tpm;
mod video;
mod virtio;
mod want;
mod watchdog;

pub use error::Error;
pub use opt::{List, Object, Opt, Term, Value};
pub use render::{Given, Paths, Placeholders, Resolve};
pub use want::{Access, By, Want, What};

use crate::capabilities::Capabilities;
use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::{Arch, Board, Domain, IdSet, Machine, Platform};

/// Where the running guests' sockets and files are: a folder for each, by the guest's name.
pub const STATE_DIR: &str = "/run/passthru";

/// Where the variables of guests' firmware are whose domains name no file, as NAME_VARS.fd: they
/// outlive a reboot of the host.
pub const NVRAM_DIR: &str = "/var/lib/passthru/nvram";

/// A QEMU command line, with what it needs from outside left open.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandLine {
    /// Path of the emulator.
    pub emulator: String,
    /// Environment variables that the domain asks for.
    pub env: Vec<(String, String)>,
    /// The options, in their order.
    pub options: Vec<Opt>,
}

/// Who runs the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A manager: it opens the devices, passes descriptors, and lets the guest go by QMP.
    Managed,
    /// A shell: QEMU opens everything by itself and starts the guest at once.
    Standalone,
}

/// Returns the command line for a domain that is complete and valid.
///
/// # Errors
/// Where the domain is not complete, or holds what this emulator has no option for.
pub fn command_line(
    domain: &Domain,
    capabilities: &Capabilities,
    style: Style,
) -> Result<CommandLine, Error> {
    let context = Context::new(domain, capabilities, style)?;
    let mut options = Vec::new();
    for section in SECTIONS {
        options.extend(section(&context)?);
    }
    let options = pci::with_zpci(&context, options);
    let mut options = secret::with_master_key(&context, options);
    let emulator = domain.devices.emulator.clone();
    let emulator = emulator.unwrap_or_else(|| capabilities.emulator(context.machine.arch));
    overrides::apply(domain, &mut options)?;
    Ok(CommandLine {
        emulator,
        env: overrides::environment(domain),
        options,
    })
}

/// A part of the command line: the options of some elements.
type Section = fn(&Context<'_>) -> Result<Vec<Opt>, Error>;

/// The parts in libvirt's order. What an option names is made before it.
const SECTIONS: &[Section] = &[
    process::name,
    overrides::deprecation,
    firmware::options,
    machine::options,
    cpu::model,
    memory::options,
    cpu::topology,
    numa::options,
    iothreads::options,
    process::identity,
    sysinfo::options,
    chardev::monitor,
    clock::options,
    process::lifecycle,
    boot::options,
    sysinfo::acpi_tables,
    iommu::before_controllers,
    controller::options,
    iommu::behind_controllers,
    memory::devices,
    redirect::hubs,
    disk::options,
    filesystem::options,
    net::options,
    redirect::smartcards,
    chardev::serials,
    chardev::parallels,
    chardev::channels,
    chardev::consoles,
    tpm::options,
    input::options,
    audio::options,
    graphics::options,
    video::options,
    sound::options,
    watchdog::options,
    redirect::redirdevs,
    hostdev::options,
    memballoon::options,
    rng::options,
    machine::vmcoreinfo,
    security::options,
    guest_services::panics,
    guest_services::shmems,
    guest_services::vsock,
    guest_services::cryptos,
    overrides::arguments,
    process::sandbox,
];

/// What every part needs.
struct Context<'a> {
    domain: &'a Domain,
    capabilities: &'a Capabilities,
    machine: Machine,
    style: Style,
    boot: boot::Indices,
}

impl<'a> Context<'a> {
    fn new(
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
            boot: boot::Indices::of(domain),
        })
    }

    fn name(&self) -> &'a str {
        self.domain.name.as_deref().unwrap_or_default()
    }

    fn is_standalone(&self) -> bool {
        self.style == Style::Standalone
    }

    fn is_kvm(&self) -> bool {
        self.domain.kind != Some(passthru_domain::VirtType::Qemu)
    }

    fn is_arm(&self) -> bool {
        self.machine.arch == Arch::Aarch64
    }

    fn is_x86(&self) -> bool {
        matches!(self.machine.arch, Arch::X86_64 | Arch::I686)
    }

    fn board(&self) -> Board {
        self.machine.board
    }

    /// A path in the guest's folder of [`STATE_DIR`].
    fn state_path(&self, file: &str) -> String {
        format!("{STATE_DIR}/domain-{}/{file}", self.name())
    }

    /// The host's nodes where threads that allocate memory of `nodes` run: those of them that the
    /// emulator's threads may run on. None where they may run on none.
    fn nodes_to_run_on(&self, nodes: &IdSet) -> Option<IdSet> {
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

    fn uses_iommufd(&self, hostdev: &Hostdev) -> bool {
        self.domain.backend(hostdev) == Some(passthru_domain::Backend::Iommufd)
    }
}
