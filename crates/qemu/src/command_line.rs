//! From a complete domain to QEMU's command line.
//!
//! [`command_line`] is a pure function: it opens nothing, and the same domain gives the same
//! options. A [`Want`] stands for each open file, until the line is rendered. Options and their
//! order are libvirt's, so that libvirt and passthru give a guest the same machine.
//!
//! [`Want`]: crate::Want

use std::mem::discriminant;

use passthru_domain::device::Item;
use passthru_domain::{Domain, Error as DomainError, Errors, Platform, SourceSpan};

use Section::{Chosen, Element, Kind, Shared};

use crate::capabilities::Capabilities;
use crate::context::{Context, Style};
use crate::error::Error;
use crate::fragment::device_options;
use crate::line::{CommandLine, Opt};
use crate::section::{
    audio, boot, chardev, clock, controller, cpu, disk, firmware, graphics, hostdev, iommu,
    iothreads, machine, memory, net, numa, overrides, process, secret, security, set, sysinfo,
    watchdog,
};

/// Returns the command line for a domain that is complete and valid.
///
/// # Errors
/// The errors of all devices and other elements, each with the position of its element:
///
/// - those of [`fragment`](crate::fragment), for any device;
/// - the error of [`Capabilities`] that there is no such machine type;
/// - an error for anything else that has no option.
pub fn command_line(
    domain: &Domain,
    capabilities: &Capabilities,
    style: Style,
) -> Result<CommandLine, Errors> {
    let parts = Parts::new(domain, capabilities, style)?;
    Errors::check_all(parts.errors)?;
    let arch = parts.context.machine.arch;
    let emulator = domain.devices.emulator.clone();
    Ok(CommandLine {
        emulator: emulator.unwrap_or_else(|| capabilities.emulator(arch)),
        env: overrides::environment(domain),
        options: parts.options,
    })
}

/// The options of a domain as far as they can be made, with the errors of the others.
pub(crate) struct Parts<'a> {
    context: Context<'a>,
    pub(crate) options: Vec<Opt>,
    pub(crate) errors: Vec<DomainError>,
}

impl<'a> Parts<'a> {
    /// Makes the options.
    ///
    /// # Errors
    /// If there is no such machine type, then that error.
    pub(crate) fn new(
        domain: &'a Domain,
        capabilities: &'a Capabilities,
        style: Style,
    ) -> Result<Self, DomainError> {
        let context = Context::new(domain, capabilities, style)
            .map_err(|error| error.in_domain(&domain.place_of("os/type")))?;
        let mut parts = Self {
            context,
            options: Vec::new(),
            errors: Vec::new(),
        };
        for section in SECTIONS {
            parts.add(section);
        }
        secret::insert_master_key(&parts.context, &mut parts.options);
        let faulty_devices = !parts.errors.is_empty();
        let overrides = overrides::apply(domain, &mut parts.options, faulty_devices);
        parts.errors.extend(overrides);
        set::describe_by_lists(domain, &mut parts.options);
        Ok(parts)
    }

    fn add(&mut self, section: &Section) {
        let domain = self.context.domain;
        let items = match section {
            Shared(options) => return self.take(options(&self.context), &domain.span),
            Element(name, options) => {
                return self.take(options(&self.context), &domain.place_of(name));
            }
            Kind(item) => of_kind(&self.context, item(0)),
            Chosen(items) => items(&self.context),
        };
        for item in items {
            let options = device_options(&self.context, item);
            let info = domain.devices.info(item);
            let own = info.map(|info| &info.span).filter(|span| span.0.is_some());
            self.take(options, own.unwrap_or(&domain.span));
        }
    }

    /// Takes options, or the error of the element at a position.
    fn take(&mut self, options: Result<Vec<Opt>, Error>, span: &SourceSpan) {
        match options {
            Ok(options) => self.options.extend(options),
            Err(error) => self.errors.push(error.in_domain(span)),
        }
    }
}

/// A part of the command line.
enum Section {
    /// Options that belong to no single element.
    Shared(fn(&Context<'_>) -> Result<Vec<Opt>, Error>),
    /// Options of an element that is not a device. Errors point to the element.
    Element(&'static str, fn(&Context<'_>) -> Result<Vec<Opt>, Error>),
    /// All devices of a kind, named by their numbers.
    Kind(fn(usize) -> Item),
    /// Some devices of a kind, in an order of their own.
    Chosen(fn(&Context<'_>) -> Vec<Item>),
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
    Element("os/nvram", firmware::options),
    Element("pm", machine::options),
    Element("cpu", cpu::model),
    Shared(memory::options),
    Shared(cpu::topology),
    Shared(numa::options),
    Shared(iothreads::options),
    Shared(process::identity),
    Element("os/smbios", sysinfo::options),
    Shared(chardev::monitor),
    Element("clock", clock::options),
    Element("on_poweroff", process::lifecycle),
    Shared(boot::options),
    Element("os/acpi", sysinfo::acpi_tables),
    Element("os/varstore", firmware::varstore),
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
    Element("devices/graphics", graphics::options),
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
    Element("launchSecurity", security::options),
    Kind(Item::Panic),
    Kind(Item::Shmem),
    Kind(Item::Vsock),
    Kind(Item::Crypto),
    Shared(overrides::arguments),
    Shared(process::sandbox),
];
