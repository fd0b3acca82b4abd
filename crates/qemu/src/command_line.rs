//! From a complete domain to QEMU's command line.
//!
//! [`command_line`] is a pure function: it opens nothing, and the same domain gives the same
//! options. A [`Want`] stands for each open file, until the line is rendered. Options and their
//! order are libvirt's, so that libvirt and passthru give a guest the same machine.
//!
//! [`Want`]: crate::Want

use std::mem::discriminant;

use passthru_domain::device::Item;
use passthru_domain::{Domain, Platform};

use Section::{Chosen, Kind, Shared};

use crate::capabilities::Capabilities;
use crate::context::{Context, Style};
use crate::error::Error;
use crate::fragment::device_options;
use crate::line::{CommandLine, Opt};
use crate::section::{
    audio, boot, chardev, clock, controller, cpu, disk, firmware, graphics, hostdev, iommu,
    iothreads, machine, memory, net, numa, overrides, process, secret, security, sysinfo, watchdog,
};

/// Returns the command line for a domain that is complete and valid.
///
/// # Errors
/// Those of [`fragment`](crate::fragment), for any device; and [`Error::Machine`] if the machine
/// type is not known, [`Error::Unsupported`] for anything else that has no option.
pub fn command_line(
    domain: &Domain,
    capabilities: &Capabilities,
    style: Style,
) -> Result<CommandLine, Error> {
    let context = Context::new(domain, capabilities, style)?;
    let mut options = Vec::new();
    for section in SECTIONS {
        options.extend(section.options(&context)?);
    }
    secret::insert_master_key(&context, &mut options);
    overrides::apply(domain, &mut options)?;
    let emulator = domain.devices.emulator.clone();
    Ok(CommandLine {
        emulator: emulator.unwrap_or_else(|| capabilities.emulator(context.machine.arch)),
        env: overrides::environment(domain),
        options,
    })
}

/// A part of the command line.
enum Section {
    /// Options that belong to no single device.
    Shared(fn(&Context<'_>) -> Result<Vec<Opt>, Error>),
    /// All devices of a kind, named by their numbers.
    Kind(fn(usize) -> Item),
    /// Some devices of a kind, in an order of their own.
    Chosen(fn(&Context<'_>) -> Vec<Item>),
}

impl Section {
    fn options(&self, context: &Context<'_>) -> Result<Vec<Opt>, Error> {
        let items = match self {
            Self::Shared(options) => return options(context),
            Self::Kind(item) => of_kind(context, item(0)),
            Self::Chosen(items) => items(context),
        };
        let mut options = Vec::new();
        for item in items {
            options.extend(device_options(context, item)?);
        }
        Ok(options)
    }
}

/// Names the guest's devices that are of the same kind as `like`.
fn of_kind(context: &Context<'_>, like: Item) -> Vec<Item> {
    let mut items = context.domain.devices.items();
    items.retain(|item| discriminant(item) == discriminant(&like));
    items
}

/// The sections in libvirt's order. An option stands after those that make what it names.
const SECTIONS: &[Section] = &[
    Shared(process::name),
    Shared(overrides::deprecation),
    Shared(firmware::options),
    Shared(machine::options),
    Shared(cpu::model),
    Shared(memory::options),
    Shared(cpu::topology),
    Shared(numa::options),
    Shared(iothreads::options),
    Shared(process::identity),
    Shared(sysinfo::options),
    Shared(chardev::monitor),
    Shared(clock::options),
    Shared(process::lifecycle),
    Shared(boot::options),
    Shared(sysinfo::acpi_tables),
    Chosen(iommu::machine_wide),
    Chosen(controller::items),
    Chosen(iommu::behind_buses),
    Kind(Item::Memory),
    Shared(memory::enclaves),
    Kind(Item::Hub),
    Shared(disk::shared),
    Kind(Item::Disk),
    Kind(Item::Filesystem),
    Chosen(net::items),
    Kind(Item::Smartcard),
    Kind(Item::Serial),
    Kind(Item::Parallel),
    Kind(Item::Channel),
    Kind(Item::Console),
    Kind(Item::Tpm),
    Kind(Item::Input),
    Shared(audio::options),
    Shared(graphics::options),
    Kind(Item::Video),
    Kind(Item::Sound),
    Kind(Item::Watchdog),
    Shared(watchdog::action),
    Kind(Item::Redirdev),
    Shared(hostdev::iommufd_objects),
    Chosen(hostdev::items),
    Shared(hostdev::initiators),
    Kind(Item::Memballoon),
    Kind(Item::Rng),
    Shared(machine::vmcoreinfo),
    Shared(security::options),
    Kind(Item::Panic),
    Kind(Item::Shmem),
    Kind(Item::Vsock),
    Kind(Item::Crypto),
    Shared(overrides::arguments),
    Shared(process::sandbox),
];
