//! Kinds of address: each device has one of a kind that its bus has; channel numbers and Z's PCI
//! ids once each.

use super::{Check, duplicates, span_of};
use crate::model::device::address::AddressType;
use crate::model::device::controller::ControllerType;
use crate::model::device::{Address, Item};
use crate::place::chipset;
use crate::place::plug::Need;
use crate::place::virtio::is_channel_device;
use crate::place::zpci::zpci_of;
use crate::platform::Board;

const CHOSEN: &str = "leave the <address> out to have one chosen";

pub(super) fn check(check: &mut Check<'_>) {
    for item in check.domain.devices.items() {
        kind(check, item);
        acpi(check, item);
    }
    acpi_indexes(check);
    channels(check);
    zpci(check);
}

/// A PCI device has a PCI address, a channel device on Z a channel's, and nothing else has.
fn kind(check: &mut Check<'_>, item: Item) {
    let (devices, machine) = (&check.domain.devices, check.machine);
    let Some(info) = devices.info(item) else {
        return;
    };
    let (what, kind) = (
        devices.describe(item),
        info.address.as_ref().map(Address::kind),
    );
    let is_pci = Need::for_device(devices, item, machine.is_express()).is_some();
    let is_channel = is_channel_device(devices, item);
    let has_mmio = matches!(machine.board, Board::Virt | Board::Microvm | Board::Other);
    let wrong = match kind {
        Some(AddressType::Pci) => {
            (!is_pci && !is_chipsets(check, item)).then_some("is not a PCI device")
        }
        Some(AddressType::Ccw) if machine.board != Board::S390Ccw => {
            Some("is not on a machine with channels")
        }
        Some(AddressType::Ccw) => (!is_channel).then_some("is not a channel device"),
        Some(AddressType::VirtioMmio) if !has_mmio => Some("is not on a machine with virtio-mmio"),
        Some(AddressType::VirtioMmio) => (!is_channel).then_some("is not a virtio device"),
        Some(AddressType::Unassigned) => {
            let of_host = match item {
                Item::Hostdev(_) => true,
                Item::Interface(n) => devices
                    .interfaces
                    .get(n)
                    .is_some_and(|i| i.hostdev.is_some()),
                _ => false,
            };
            (!of_host).then_some("is not a host device")
        }
        _ => None,
    };
    let span = &info.span;
    if let (Some(wrong), Some(kind)) = (wrong, kind) {
        let message = format!("{what} {wrong}: it cannot have an address of type '{kind}'");
        check.error_with_hint(span, message, CHOSEN);
    } else if is_pci && !fits_pci(kind) {
        let kind = kind.map_or("", AddressType::as_str);
        check.error_with_hint(
            span,
            format!("{what} needs an address of type 'pci', not '{kind}'"),
            CHOSEN,
        );
    } else if is_pci && !machine.has_pci() && matches!(kind, None | Some(AddressType::Pci)) {
        let name = &machine.name;
        check.error(
            span,
            format!("{what} is a PCI device, but the machine '{name}' has no PCI bus"),
        );
    }
}

/// Whether a device that can be on PCI may have an address of this kind.
const fn fits_pci(kind: Option<AddressType>) -> bool {
    use AddressType::{Ccw, Pci, Unassigned, VirtioMmio};
    matches!(kind, None | Some(Pci | Ccw | VirtioMmio | Unassigned))
}

fn is_chipsets(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else {
        return false;
    };
    let controller = &check.domain.devices.controllers[n];
    chipset::place_of(check.machine.board, controller).is_some()
        // Root buses are looked at with the other controllers.
        || controller.kind == Some(ControllerType::Pci)
}

/// ACPI knows PCI devices alone.
fn acpi(check: &mut Check<'_>, item: Item) {
    let devices = &check.domain.devices;
    let Some(info) = devices.info(item) else {
        return;
    };
    let Some(acpi) = &info.acpi else { return };
    let nodes = acpi
        .nodeset
        .iter()
        .flat_map(crate::model::idset::IdSet::iter);
    if let Some(node) = nodes.into_iter().find(|node| !check.has_node(*node)) {
        let message = format!(
            "<acpi nodeset> of {} names NUMA node {node}, which the guest does not have",
            devices.describe(item)
        );
        check.error_with_hint(&info.span, message, "name a <cell> of <cpu><numa>");
    }
    if acpi.nodeset.is_some() && !matches!(item, Item::Hostdev(_) | Item::Interface(_)) {
        let message = format!(
            "<acpi nodeset> of {} is for host devices only",
            devices.describe(item)
        );
        check.error(&info.span, message);
    }
    if !matches!(info.address, Some(Address::Pci(_))) {
        let message = format!(
            "<acpi> of {} is for PCI devices only",
            devices.describe(item)
        );
        check.error(&info.span, message);
    } else if acpi.index == Some(0) {
        check.error(
            &info.span,
            format!(
                "the index of <acpi> of {} must be 1 or more",
                devices.describe(item)
            ),
        );
    }
}

/// A guest names network cards by the index, so it is of one device.
fn acpi_indexes(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let indexes = devices.items().into_iter().filter_map(|item| {
        let index = devices.info(item)?.acpi.as_ref()?.index?;
        Some((index, (index, item)))
    });
    for (first, second) in duplicates(indexes) {
        let (one, other) = (devices.describe(first.1), devices.describe(second.1));
        let message = format!(
            "the index {} of <acpi> is used twice: by {one} and by {other}",
            first.0
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}

fn channels(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let numbers =
        devices
            .items()
            .into_iter()
            .filter_map(|item| match devices.info(item)?.address {
                Some(Address::Ccw(ccw)) => Some((ccw, item)),
                _ => None,
            });
    for (first, second) in duplicates(numbers.map(|(ccw, item)| (ccw, (ccw, item)))) {
        let (one, other) = (devices.describe(first.1), devices.describe(second.1));
        let message = format!(
            "the channel address {} is used twice: by {one} and by {other}",
            first.0
        );
        check.error_with_hint(&span_of(devices.info(second.1)), message, CHOSEN);
    }
}

/// Z's ids of PCI functions: on Z alone, each once.
fn zpci(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let said: Vec<_> = devices
        .items()
        .into_iter()
        .filter_map(|item| Some((zpci_of(devices, item)?, item)))
        .collect();
    if check.machine.board != Board::S390Ccw {
        for (_, item) in said {
            let message = format!("<zpci> of {} is for s390x only", devices.describe(item));
            check.error(&span_of(devices.info(item)), message);
        }
        return;
    }
    let uids = said
        .iter()
        .filter_map(|(zpci, item)| Some((zpci.uid?, *item)));
    let fids = said
        .iter()
        .filter_map(|(zpci, item)| Some((zpci.fid?, *item)));
    let uids = duplicates(uids.map(|(uid, item)| (uid, (format!("uid 0x{uid:04x}"), item))));
    let fids = duplicates(fids.map(|(fid, item)| (fid, (format!("fid 0x{fid:08x}"), item))));
    for (first, second) in uids.into_iter().chain(fids) {
        let (one, other) = (devices.describe(first.1), devices.describe(second.1));
        let message = format!(
            "the {} of <zpci> is used twice: by {one} and by {other}",
            first.0
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}
