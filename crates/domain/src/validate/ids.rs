//! Ids that the user gives: aliases of devices, and ids of iommufd objects. They are unique in the
//! emulator.

use std::collections::{HashMap, HashSet};

use super::check::{Check, span_of};
use crate::model::device::{ControllerType, Devices, Item};
use crate::xml::span::SourceSpan;

/// Ids that the emulator uses itself: memory, monitor, audio, root buses.
const RESERVED: &[&str] = &[
    "pc.ram",
    "mach-virt.ram",
    "monitor",
    "charmonitor",
    "audio1",
    "pci.0",
    "pcie.0",
];

/// Prefixes of a device's alias in the ids of its backends.
const BACKENDS: &[&str] = &["char", "host", "obj"];

pub(super) fn check(check: &mut Check<'_>) {
    let aliases = aliases(check);
    let mut known: HashMap<&str, String> = RESERVED
        .iter()
        .map(|id| (*id, "the emulator itself".into()))
        .collect();
    for (alias, item) in aliases {
        let device = check.domain.devices.describe(item);
        let span = span_of(check.domain.devices.info(item));
        let subject = format!("the alias '{alias}' of {device}");
        if !is_id(alias) {
            malformed(check, &subject, &span);
        }
        let is_own = is_root_bus(check, item) && alias.starts_with("pci");
        if let Some(other) = known.get(alias).filter(|_| !is_own) {
            taken(check, &subject, other, &span);
        } else {
            known.insert(alias, device);
        }
    }

    for (id, span) in iommufds(check) {
        let subject = format!("the iommufd object's id '{id}'");
        let backend_of = BACKENDS
            .iter()
            .find_map(|kind| known.get(id.strip_prefix(kind)?));
        if !is_id(id) {
            malformed(check, &subject, span);
        } else if let Some(other) = known.get(id).or(backend_of).cloned() {
            taken(check, &subject, &other, span);
        }
    }
}

/// Returns whether a controller is the root bus, which has a reserved id of its own.
fn is_root_bus(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else {
        return false;
    };
    let controller = check.domain.devices.controllers.get(n);
    controller.is_some_and(|c| c.kind == Some(ControllerType::Pci) && c.index == Some(0))
}

/// Returns the aliases of the devices that have an id of their own.
fn aliases<'a>(check: &Check<'a>) -> Vec<(&'a str, Item)> {
    let devices = &check.domain.devices;
    let mut aliases = Vec::new();
    for item in devices.items() {
        let info = devices.info(item);
        if let Some(alias) = info.and_then(|info| info.alias.as_deref())
            && !shares_id(devices, item)
        {
            aliases.push((alias, item));
        }
    }

    // Added devices, which have no position, come first: the error then names the user's device.
    aliases.sort_by_key(|(_, item)| span_of(devices.info(*item)).0.is_some());
    aliases
}

/// Returns whether a device has the id of another one.
///
/// The console that shows a serial port has the port's id. A companion has the id of its USB 2
/// controller.
fn shares_id(devices: &Devices, item: Item) -> bool {
    match item {
        Item::Console(0) => devices.has_serial_console(),
        Item::Controller(n) => devices
            .controllers
            .get(n)
            .is_some_and(|c| c.master.is_some()),
        _ => false,
    }
}

/// Returns the ids of the iommufd objects, each with the first device that names it.
fn iommufds<'a>(check: &Check<'a>) -> Vec<(&'a str, &'a SourceSpan)> {
    let devices = &check.domain.devices;
    let hostdevs = devices
        .assigned()
        .filter_map(|h| Some((h.iommufd_id.as_deref()?, &h.info.span)));
    let iommus = devices
        .iommus
        .iter()
        .filter_map(|i| Some((i.iommufd_id()?, &i.info.span)));
    let mut known = HashSet::new();
    hostdevs
        .chain(iommus)
        .filter(|(id, _)| known.insert(*id))
        .collect()
}

/// Returns whether QEMU accepts a text as an id.
fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Adds the error of a text that is not an id.
fn malformed(check: &mut Check<'_>, subject: &str, span: &SourceSpan) {
    let hint = "use a letter, then letters, digits, '.', '_' and '-'";
    check.error_with_hint(span, format!("{subject} is not a valid id"), hint);
}

/// Adds the error of an id that another device uses.
fn taken(check: &mut Check<'_>, subject: &str, by: &str, span: &SourceSpan) {
    check.error_with_hint(
        span,
        format!("{subject} is already used by {by}"),
        "use a different id",
    );
}
