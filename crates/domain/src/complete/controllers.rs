//! Controllers: those that the machine has, those that devices need, and what they leave out.

use super::usb;
use crate::device::chardev::CharTargetType;
use crate::device::controller::{Controller, ControllerModel, ControllerType};
use crate::device::disk::DiskBus;
use crate::device::{Address, Devices};
use crate::{Board, Machine};

/// Numbers the controllers, sorts them, adds those that are missing, and fills in models.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    number(&mut devices.controllers);
    for controller in std::mem::take(&mut devices.controllers) {
        insert(&mut devices.controllers, controller);
    }
    machines_own(devices, machine);
    for controller in &mut devices.controllers {
        usual_model(controller, machine);
    }
    for_disks(devices, machine);
    for_consoles(devices);
}

/// Inserts a controller among those of its kind, by index; a USB controller before its companions.
pub(crate) fn insert(controllers: &mut Vec<Controller>, new: Controller) {
    let mut at = None;
    for (n, there) in controllers.iter().enumerate().rev().filter(|(_, c)| c.kind == new.kind) {
        let leads = there.index == new.index && new.master.is_none() && there.master.is_some();
        if there.index > new.index || leads {
            at = Some(n);
        } else if at.is_none() {
            at = Some(n + 1);
        }
    }
    controllers.insert(at.unwrap_or(controllers.len()), new);
}

/// Gives each controller without an index the lowest that is free among its kind; members of a USB 2 group
/// that stand together get the same.
fn number(controllers: &mut [Controller]) {
    for n in 0..controllers.len() {
        usb::fill_master(&mut controllers[n]);
        if controllers[n].index.is_some() {
            continue;
        }
        let kind = controllers[n].kind;
        let used = |index| controllers.iter().any(|c| c.kind == kind && c.index == Some(index));
        // PCI's 0 is the root bus.
        let root =
            matches!(controllers[n].model, None | Some(ControllerModel::PciRoot | ControllerModel::PcieRoot));
        let lowest = u32::from(kind == Some(ControllerType::Pci) && !root);
        let index = usb::index_of_group(controllers, n).or_else(|| (lowest..).find(|index| !used(*index)));
        controllers[n].index = index;
    }
}

/// What the machine has: USB by its default, SATA on a q35, and the root bus.
fn machines_own(devices: &mut Devices, machine: &Machine) {
    if devices.controllers_of(ControllerType::Usb).next().is_none()
        && let Some(model) = machine.usb
    {
        add(devices, ControllerType::Usb, 0, Some(model));
    }
    if machine.board == Board::Q35 {
        add(devices, ControllerType::Sata, 0, None);
    }
    if machine.has_pci() {
        add(devices, ControllerType::Pci, 0, Some(root_model(machine)));
    }
}

/// Adds a controller, where there is none of that kind and index.
fn add(devices: &mut Devices, kind: ControllerType, index: u32, model: Option<ControllerModel>) {
    if devices.controller(kind, index).is_none() {
        insert(&mut devices.controllers, Controller::new(kind, index, model));
    }
}

/// Model of the machine's root bus.
pub(crate) const fn root_model(machine: &Machine) -> ControllerModel {
    if machine.is_express() { ControllerModel::PcieRoot } else { ControllerModel::PciRoot }
}

fn usual_model(controller: &mut Controller, machine: &Machine) {
    if controller.model.is_some() {
        return;
    }
    controller.model = match controller.kind {
        Some(ControllerType::Usb) => Some(match machine.board {
            Board::Virt => ControllerModel::QemuXhci,
            _ => ControllerModel::Piix3Uhci,
        }),
        Some(ControllerType::Scsi) => Some(usual_scsi(machine)),
        Some(ControllerType::Pci) if controller.index == Some(0) => Some(root_model(machine)),
        Some(ControllerType::Pci) if machine.is_express() => Some(ControllerModel::PcieRootPort),
        Some(ControllerType::Pci) => Some(ControllerModel::PciBridge),
        _ => None,
    };
}

const fn usual_scsi(machine: &Machine) -> ControllerModel {
    match machine.board {
        Board::I440fx | Board::Q35 | Board::Isapc => ControllerModel::Lsilogic,
        _ => ControllerModel::VirtioScsi,
    }
}

/// Adds the controllers up to the highest that a disk is on.
fn for_disks(devices: &mut Devices, machine: &Machine) {
    for (bus, kind) in [
        (DiskBus::Scsi, ControllerType::Scsi),
        (DiskBus::Fdc, ControllerType::Fdc),
        (DiskBus::Ide, ControllerType::Ide),
        (DiskBus::Sata, ControllerType::Sata),
    ] {
        let on_bus = devices.disks.iter().filter(|d| d.target.bus == Some(bus));
        let highest = on_bus.filter_map(|d| match &d.info.address {
            Some(Address::Drive(drive)) => drive.controller,
            _ => None,
        });
        let Some(highest) = highest.max() else { continue };
        let model = (kind == ControllerType::Scsi).then(|| usual_scsi(machine));
        for index in 0..=highest.min(MOST_OF_A_KIND) {
            add(devices, kind, index, model);
        }
    }
}

/// Controllers that are added for a disk's sake; an index beyond is the user's mistake.
const MOST_OF_A_KIND: u32 = 255;

fn for_consoles(devices: &mut Devices) {
    let virtio = devices.consoles.iter().filter_map(|c| c.target.as_ref()?.kind);
    if virtio.into_iter().any(|kind| kind == CharTargetType::Virtio) {
        add(devices, ControllerType::VirtioSerial, 0, None);
    }
}
