//! From a complete domain to QEMU's command line.
//!
//! [`command_line`] is a pure function: the same domain gives the same options. It opens nothing
//! and looks at nothing; where the line needs an open file it holds a [`Want`], which is resolved
//! when the line is rendered. Options and their order are libvirt's, so that a guest gets the same
//! machine from either. One file a concern: each makes the options of its elements.
//!
//! [`Want`]: crate::Want

use passthru_domain::{Domain, Platform};

use crate::capabilities::Capabilities;
use crate::context::{Context, Style};
use crate::error::Error;
use crate::line::{CommandLine, Opt};
use crate::section::{
    audio, boot, chardev, clock, controller, cpu, crypto, disk, filesystem, firmware, graphics,
    hostdev, hub, input, iommu, iothreads, machine, memballoon, memory, net, numa, overrides,
    panic, pci, process, redirdev, rng, secret, security, shmem, smartcard, sound, sysinfo, tpm,
    video, vsock, watchdog,
};

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
    hub::hubs,
    disk::options,
    filesystem::options,
    net::options,
    smartcard::smartcards,
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
    redirdev::redirdevs,
    hostdev::options,
    memballoon::options,
    rng::options,
    machine::vmcoreinfo,
    security::options,
    panic::panics,
    shmem::shmems,
    vsock::vsock,
    crypto::cryptos,
    overrides::arguments,
    process::sandbox,
];
