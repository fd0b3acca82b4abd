//! Controllers: indexes, models, the root bus.

use super::check::{Check, duplicates};
use crate::model::device::Controller;
use crate::model::device::controller::{ControllerModel as Model, ControllerType};
use crate::platform::Board;

/// Highest index of a PCI controller, which is the number of its bus.
const LAST_BUS: u32 = 255;

pub(super) fn check(check: &mut Check<'_>) {
    for controller in &check.domain.devices.controllers {
        check_model(check, controller);
        match controller.kind {
            Some(ControllerType::Pci) => check_pci(check, controller),
            Some(ControllerType::Ide) => check_ide(check, controller),
            _ => {}
        }
    }

    check_expanders(check);
    let indexes = check
        .domain
        .devices
        .controllers
        .iter()
        .filter(|c| c.index.is_some());
    let keyed = indexes.map(|c| ((c.kind, c.index, companion(c)), c));
    for (_, second) in duplicates(keyed) {
        let kind = second.kind.map_or("", ControllerType::as_str);
        let index = second.index.unwrap_or_default();
        let message = format!("two '{kind}' controllers have the index {index}");
        check.error_with_hint(
            &second.info.span,
            message,
            "leave the index out to get the next free one",
        );
    }
}

/// Checks that the first bus numbers of expanders are unique.
fn check_expanders(check: &mut Check<'_>) {
    let numbered = check.domain.devices.controllers_of(ControllerType::Pci);
    let numbered = numbered.filter_map(|c| Some((c.target.as_ref()?.bus_nr?, c)));
    for (_, second) in duplicates(numbered) {
        let number = second
            .target
            .as_ref()
            .and_then(|t| t.bus_nr)
            .unwrap_or_default();
        check.error(
            &second.info.span,
            format!("two expanders have the busNr {number}"),
        );
    }
}

/// Returns the model of a USB 2 controller, which shares its index with companions of other models.
fn companion(controller: &Controller) -> Option<Model> {
    let usb2 = [
        Model::Ich9Ehci1,
        Model::Ich9Uhci1,
        Model::Ich9Uhci2,
        Model::Ich9Uhci3,
    ];
    controller.model.filter(|m| usb2.contains(m))
}

/// Checks that a controller's model is one of its type.
fn check_model(check: &mut Check<'_>, controller: &Controller) {
    let Some(kind) = controller.kind else { return };
    let Some(model) = controller.model else {
        return;
    };
    if !kinds_of(model).contains(&kind) {
        check.error(
            &controller.info.span,
            format!("'{model}' is not a model of a '{kind}' controller"),
        );
    }
}

/// Returns the types of controller that have a model.
const fn kinds_of(model: Model) -> &'static [ControllerType] {
    match model {
        Model::PciRoot
        | Model::PcieRoot
        | Model::PciBridge
        | Model::DmiToPciBridge
        | Model::PcieToPciBridge
        | Model::PcieRootPort
        | Model::PcieSwitchUpstreamPort
        | Model::PcieSwitchDownstreamPort
        | Model::PciExpanderBus
        | Model::PcieExpanderBus => &[ControllerType::Pci],
        Model::None
        | Model::Piix3Uhci
        | Model::Piix4Uhci
        | Model::Vt82c686bUhci
        | Model::PciOhci
        | Model::Ehci
        | Model::Ich9Ehci1
        | Model::Ich9Uhci1
        | Model::Ich9Uhci2
        | Model::Ich9Uhci3
        | Model::NecXhci
        | Model::QemuXhci
        | Model::Qusb1
        | Model::Qusb2 => &[ControllerType::Usb],
        Model::VirtioTransitional | Model::VirtioNonTransitional => {
            &[ControllerType::Scsi, ControllerType::VirtioSerial]
        }
        Model::Virtio => &[ControllerType::VirtioSerial],
        Model::VirtioScsi
        | Model::Auto
        | Model::Lsilogic
        | Model::Lsisas1068
        | Model::Lsisas1078
        | Model::Buslogic
        | Model::Vmpvscsi
        | Model::Ibmvscsi
        | Model::Ncr53c90
        | Model::Dc390
        | Model::Am53c974 => &[ControllerType::Scsi],
        Model::Piix3 | Model::Piix4 | Model::Ich6 => &[ControllerType::Ide],
    }
}

/// Checks the index and the options of a PCI controller.
fn check_pci(check: &mut Check<'_>, controller: &Controller) {
    let span = &controller.info.span;
    let machine = check.machine;
    let index = controller.index.unwrap_or_default();
    let is_root = matches!(controller.model, Some(Model::PciRoot | Model::PcieRoot));
    if index > LAST_BUS {
        check.error(
            span,
            format!("the index {index} of a PCI controller is above {LAST_BUS}"),
        );
    }

    if index == 0 && machine.has_pci() && controller.model != Some(machine.root_bus()) {
        let found = controller.model.map_or("none", Model::as_str);
        let expected = machine.root_bus();
        let name = &machine.name;
        let message = format!(
            "the PCI controller with index 0 must be a '{expected}' on the machine '{name}', \
             not '{found}'"
        );
        check.error(span, message);
    }

    if index != 0 && is_root {
        check.error(
            span,
            "a pci-root or pcie-root controller must have the index 0".into(),
        );
    }

    if is_root && controller.info.address.is_some() {
        check.error(
            span,
            "a pci-root or pcie-root controller cannot have an address".into(),
        );
    }

    if controller.pcihole64.is_some() && !is_root {
        check.error(
            span,
            "only a pci-root or pcie-root controller can have a <pcihole64>".into(),
        );
    }

    super::pci_targets::check(check, controller);
}

/// Checks that the machine has the IDE controller.
fn check_ide(check: &mut Check<'_>, controller: &Controller) {
    let name = &check.machine.name;
    match check.machine.board {
        Board::I440fx if controller.index == Some(0) => {}
        Board::I440fx => {
            check.error(
                &controller.info.span,
                format!("the machine '{name}' has only one IDE controller"),
            );
        }
        board if has_ide(board) || is_implied(check, controller) => {}
        _ => {
            let message = format!("the machine '{name}' has no IDE controller");
            check.error_with_hint(
                &controller.info.span,
                message,
                "leave the controller out, and put no disk on the bus 'ide'",
            );
        }
    }
}

/// Returns whether a machine can have disks on the bus `ide`.
pub(super) const fn has_ide(board: Board) -> bool {
    matches!(board, Board::I440fx | Board::Isapc | Board::Other)
}

/// Returns whether a controller was added for a disk, whose position it has then.
fn is_implied(check: &Check<'_>, controller: &Controller) -> bool {
    let mut disks = check.domain.devices.disks.iter();
    disks.any(|disk| disk.info.span.0 == controller.info.span.0)
}
