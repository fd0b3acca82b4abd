//! Types of address: each device has one that its bus supports. Channel numbers and Z's PCI ids are
//! unique.

use super::check::{Check, duplicates, span_of};
use crate::model::device::address::AddressType;
use crate::model::device::controller::ControllerType;
use crate::model::device::{Address, Item};
use crate::place::chipset;
use crate::place::plug::Need;
use crate::place::virtio::is_channel_device;
use crate::place::zpci::zpci_of;
use crate::platform::Board;

/// Advice for an address that the device cannot have.
const OMIT_ADDRESS: &str = "leave the <address> out to have one chosen";

pub(super) fn check(check: &mut Check<'_>) {
    for item in check.domain.devices.items() {
        check_kind(check, item);
        check_acpi(check, item);
    }

    check_acpi_indexes(check);
    check_channels(check);
    check_zpci(check);
}

/// Checks the type of a device's address: PCI for PCI devices, CCW for channel devices on Z.
fn check_kind(check: &mut Check<'_>, item: Item) {
    let devices = &check.domain.devices;
    let machine = check.machine;
    let Some(info) = devices.info(item).filter(|_| !devices.is_absent(item)) else {
        return;
    };
    let device = devices.describe(item);
    let kind = info.address.as_ref().map(Address::kind);
    let is_pci = Need::for_device(devices, item, machine.is_express()).is_some();
    let is_channel = is_channel_device(devices, item);
    let has_mmio = matches!(machine.board, Board::Virt | Board::Microvm | Board::Other);
    let wrong = match kind {
        Some(AddressType::Pci) => {
            let is_allowed = is_pci || may_have_pci_address(check, item);
            (!is_allowed).then_some("is not a PCI device")
        }
        Some(AddressType::Ccw) if machine.board != Board::S390Ccw => {
            Some("is not on a machine with channels")
        }
        Some(AddressType::Ccw) => (!is_channel).then_some("is not a channel device"),
        Some(AddressType::VirtioMmio) if !has_mmio => Some("is not on a machine with virtio-mmio"),
        Some(AddressType::VirtioMmio) => (!is_channel).then_some("is not a virtio device"),
        Some(AddressType::Unassigned) => {
            let is_host_device = match item {
                Item::Hostdev(_) => true,
                Item::Interface(n) => devices
                    .interfaces
                    .get(n)
                    .is_some_and(|i| i.hostdev.is_some()),
                _ => false,
            };
            (!is_host_device).then_some("is not a host device")
        }
        _ => None,
    };
    let span = &info.span;
    if let (Some(wrong), Some(kind)) = (wrong, kind) {
        let message = format!("{device} {wrong}: it cannot have an address of type '{kind}'");
        check.error_with_hint(span, message, OMIT_ADDRESS);
    } else if is_pci && !fits_pci(kind) {
        let kind = kind.map_or("", AddressType::as_str);
        check.error_with_hint(
            span,
            format!("{device} needs an address of type 'pci', not '{kind}'"),
            OMIT_ADDRESS,
        );
    } else if is_pci && !machine.has_pci() && matches!(kind, None | Some(AddressType::Pci)) {
        let name = &machine.name;
        check.error(
            span,
            format!("{device} is a PCI device, but the machine '{name}' has no PCI bus"),
        );
    }
}

/// Returns whether a PCI device may have an address of this type.
const fn fits_pci(kind: Option<AddressType>) -> bool {
    use AddressType::{Ccw, Pci, Unassigned, VirtioMmio};
    matches!(kind, None | Some(Pci | Ccw | VirtioMmio | Unassigned))
}

/// Returns whether a controller that takes no slot may have a PCI address.
///
/// The board's own controllers may. Root buses are checked with the other controllers.
fn may_have_pci_address(check: &Check<'_>, item: Item) -> bool {
    let Item::Controller(n) = item else {
        return false;
    };
    let controller = &check.domain.devices.controllers[n];
    chipset::controller_address(check.machine.board, controller).is_some()
        || controller.kind == Some(ControllerType::Pci)
}

/// Checks `<acpi>`, which only PCI devices can have.
fn check_acpi(check: &mut Check<'_>, item: Item) {
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

/// Checks that no two devices have one ACPI index: the guest names network cards by it.
fn check_acpi_indexes(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let indexes = devices.items().into_iter().filter_map(|item| {
        let index = devices.info(item)?.acpi.as_ref()?.index?;
        Some((index, (index, item)))
    });
    for (first, second) in duplicates(indexes) {
        let one = devices.describe(first.1);
        let other = devices.describe(second.1);
        let message = format!(
            "the index {} of <acpi> is used twice: by {one} and by {other}",
            first.0
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}

/// Checks that channel numbers are unique.
fn check_channels(check: &mut Check<'_>) {
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
        let one = devices.describe(first.1);
        let other = devices.describe(second.1);
        let message = format!(
            "the channel address {} is used twice: by {one} and by {other}",
            first.0
        );
        check.error_with_hint(&span_of(devices.info(second.1)), message, OMIT_ADDRESS);
    }
}

/// Checks that `<zpci>` is used on Z only, and that its ids are unique.
fn check_zpci(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let given: Vec<_> = devices
        .items()
        .into_iter()
        .filter_map(|item| Some((zpci_of(devices, item)?, item)))
        .collect();
    if check.machine.board != Board::S390Ccw {
        for (_, item) in given {
            let message = format!("<zpci> of {} is for s390x only", devices.describe(item));
            check.error(&span_of(devices.info(item)), message);
        }
        return;
    }

    let mut uids = Vec::new();
    let mut fids = Vec::new();
    for (zpci, item) in given {
        if let Some(uid) = zpci.uid {
            uids.push((uid, (format!("uid 0x{uid:04x}"), item)));
        }
        if let Some(fid) = zpci.fid {
            fids.push((fid, (format!("fid 0x{fid:08x}"), item)));
        }
    }

    for (first, second) in duplicates(uids).into_iter().chain(duplicates(fids)) {
        let one = devices.describe(first.1);
        let other = devices.describe(second.1);
        let message = format!(
            "the {} of <zpci> is used twice: by {one} and by {other}",
            first.0
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}
