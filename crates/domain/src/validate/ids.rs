//! Ids that the user gives: aliases of devices, and names of iommufd objects. The emulator knows
//! each device and object by one name.

use std::collections::{HashMap, HashSet};

use super::{Check, span_of};
use crate::model::device::{ControllerType, Hostdev, Item};
use crate::xml::span::SourceSpan;

/// Ids of what every guest has, or can have, besides its devices: memory, monitor, audio, root
/// buses.
const OWN: &[&str] = &[
    "pc.ram",
    "mach-virt.ram",
    "monitor",
    "charmonitor",
    "audio1",
    "pci.0",
    "pcie.0",
];

/// What comes before a device's alias in the ids of its back ends.
const BACK_ENDS: &[&str] = &["char", "host", "obj"];

pub(super) fn check(check: &mut Check<'_>) {
    let aliases = aliases(check);
    let mut known: HashMap<&str, String> = OWN
        .iter()
        .map(|id| (*id, "the emulator itself".into()))
        .collect();
    for (alias, item) in aliases {
        let (whose, span) = (
            check.domain.devices.describe(item),
            span_of(check.domain.devices.info(item)),
        );
        if !is_id(alias) {
            malformed(check, &format!("the alias '{alias}' of {whose}"), &span);
        }
        let rightful = is_root_bus(check, item) && alias.starts_with("pci");
        match known.get(alias).filter(|_| !rightful) {
            Some(other) => taken(
                check,
                &format!("the alias '{alias}' of {whose}"),
                other,
                &span,
            ),
            None => drop(known.insert(alias, whose)),
        }
    }
    for (id, span) in iommufds(check) {
        let what = format!("the iommufd object's id '{id}'");
        let front_end = BACK_ENDS
            .iter()
            .find_map(|kind| known.get(id.strip_prefix(kind)?));
        if !is_id(id) {
            malformed(check, &what, span);
        } else if let Some(other) = known.get(id).or(front_end).cloned() {
            taken(check, &what, &other, span);
        }
    }
}

/// The bus that is there from the start, and has its id of [`OWN`] by right.
fn is_root_bus(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else {
        return false;
    };
    let controller = check.domain.devices.controllers.get(n);
    controller.is_some_and(|c| c.kind == Some(ControllerType::Pci) && c.index == Some(0))
}

/// The aliases of the devices that have an id of their own: the console that shows a serial port
/// has the port's, a companion that of its USB 2 controller.
fn aliases<'a>(check: &Check<'a>) -> Vec<(&'a str, Item)> {
    let devices = &check.domain.devices;
    let shares = |item: &Item| match *item {
        Item::Console(0) => devices.has_serial_console(),
        Item::Controller(n) => devices
            .controllers
            .get(n)
            .is_some_and(|c| c.master.is_some()),
        _ => false,
    };
    let items = devices.items().into_iter().filter(|item| !shares(item));
    let mut aliases: Vec<_> = items
        .filter_map(|item| Some((devices.info(item)?.alias.as_deref()?, item)))
        .collect();
    // What was added has no place in the text, so that the user's own is the one at fault.
    aliases.sort_by_key(|(_, item)| span_of(devices.info(*item)).0.is_some());
    aliases
}

/// The ids of iommufd objects that are said, each with the first device that says it: an object
/// serves many.
fn iommufds<'a>(check: &Check<'a>) -> Vec<(&'a str, &'a SourceSpan)> {
    let devices = &check.domain.devices;
    let of_hostdev = |h: &'a Hostdev| Some((h.iommufd_id.as_deref()?, &h.info.span));
    let hostdevs = devices.assigned().filter_map(of_hostdev);
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

fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn malformed(check: &mut Check<'_>, what: &str, span: &SourceSpan) {
    let hint = "use a letter, then letters, digits, '.', '_' and '-'";
    check.error_with_hint(span, format!("{what} is not a valid id"), hint);
}

fn taken(check: &mut Check<'_>, what: &str, by: &str, span: &SourceSpan) {
    check.error_with_hint(
        span,
        format!("{what} is already used by {by}"),
        "use a different id",
    );
}
