//! Controllers: indexes, order and models; controllers that the machine has or that devices need.

use std::collections::{HashMap, HashSet};

use super::missing_controllers::{add, add_for};
use super::{usb, virtio_ports};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::controller_list::sort;
use crate::model::device::disk::DiskBus;
use crate::model::device::{Address, Devices};
use crate::platform::{Board, Machine};

/// Numbers and sorts the controllers, adds missing ones, and fills in their models.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    number(&mut devices.controllers);
    sort(&mut devices.controllers);
    add_board_controllers(devices, machine);
    for controller in &mut devices.controllers {
        fill_model(controller, machine);
    }
    add_for_disks(devices, machine);
    add_for_hostdevs(devices, machine);
    virtio_ports::add_controllers(devices);
    add_for_smartcards(devices);
}

/// Gives each controller without an index the lowest free index of its kind.
///
/// Adjacent members of a USB 2 group share an index.
fn number(controllers: &mut [Controller]) {
    let mut used: HashSet<_> = controllers
        .iter()
        .filter_map(|c| Some((c.kind, c.index?)))
        .collect();
    let mut members: HashSet<_> = controllers.iter().filter_map(usb::member).collect();
    let mut lowest: HashMap<_, u32> = HashMap::from([((Some(ControllerType::Pci), false), 1)]);
    for n in 0..controllers.len() {
        usb::fill_master(&mut controllers[n]);
        if controllers[n].index.is_some() {
            continue;
        }
        let kind = controllers[n].kind;
        let next = lowest.entry((kind, is_root(&controllers[n]))).or_insert(0);
        let index = usb::index_of_group(controllers, n, &members).unwrap_or_else(|| {
            while used.contains(&(kind, *next)) {
                *next += 1;
            }
            *next
        });
        used.insert((kind, index));
        controllers[n].index = Some(index);
        members.extend(usb::member(&controllers[n]));
    }
}

/// Returns whether a controller may be the PCI root bus, which has the index 0.
fn is_root(controller: &Controller) -> bool {
    let model = controller.model;
    controller.kind == Some(ControllerType::Pci)
        && matches!(
            model,
            None | Some(ControllerModel::PciRoot | ControllerModel::PcieRoot)
        )
}

/// Adds the controllers that the machine has: its default USB one, SATA on a q35, the root bus.
fn add_board_controllers(devices: &mut Devices, machine: &Machine) {
    if devices.controllers_of(ControllerType::Usb).next().is_none()
        && let Some(model) = machine.usb
    {
        add(devices, ControllerType::Usb, 0, Some(model));
    }

    if machine.board == Board::Q35 {
        add(devices, ControllerType::Sata, 0, None);
    }
    if machine.has_pci() {
        add(devices, ControllerType::Pci, 0, Some(machine.root_bus()));
    }
}

/// Fills in the default model of a controller. `auto` counts as no model.
fn fill_model(controller: &mut Controller, machine: &Machine) {
    if controller
        .model
        .is_some_and(|model| model != ControllerModel::Auto)
    {
        return;
    }

    controller.model = match controller.kind {
        Some(ControllerType::Usb) => Some(match machine.board {
            Board::Virt => ControllerModel::QemuXhci,
            _ => ControllerModel::Piix3Uhci,
        }),
        Some(ControllerType::Scsi) => Some(default_scsi(machine)),
        Some(ControllerType::Pci) if controller.index == Some(0) => Some(machine.root_bus()),
        Some(ControllerType::Pci) if machine.is_express() => Some(ControllerModel::PcieRootPort),
        Some(ControllerType::Pci) => Some(ControllerModel::PciBridge),
        _ => None,
    };
}

/// Returns the default model of SCSI controllers.
const fn default_scsi(machine: &Machine) -> ControllerModel {
    match machine.board {
        Board::I440fx | Board::Q35 | Board::Isapc | Board::Virt => ControllerModel::Lsilogic,
        _ => ControllerModel::VirtioScsi,
    }
}

/// Adds the controllers up to the highest index that a disk names.
fn add_for_disks(devices: &mut Devices, machine: &Machine) {
    for (bus, kind) in [
        (DiskBus::Scsi, ControllerType::Scsi),
        (DiskBus::Fdc, ControllerType::Fdc),
        (DiskBus::Ide, ControllerType::Ide),
        (DiskBus::Sata, ControllerType::Sata),
    ] {
        let on_bus = devices.disks.iter().filter(|d| d.target.bus == Some(bus));
        let numbers = on_bus.filter_map(|d| match &d.info.address {
            Some(Address::Drive(drive)) => Some((drive.controller?, d.info.span.clone())),
            _ => None,
        });
        let Some((highest, span)) = numbers.max_by_key(|(number, _)| *number) else {
            continue;
        };
        let model = (kind == ControllerType::Scsi).then(|| default_scsi(machine));
        for index in 0..=highest.min(LAST_ADDED) {
            add_for(devices, kind, index, model, &span);
        }
    }
}

/// Adds SCSI controllers up to the highest index that a host device names. They get the model of
/// the last existing one.
fn add_for_hostdevs(devices: &mut Devices, machine: &Machine) {
    let numbers = devices
        .hostdevs
        .iter()
        .filter_map(|hostdev| match &hostdev.info.address {
            Some(Address::Drive(drive)) => Some((drive.controller?, hostdev.info.span.clone())),
            _ => None,
        });
    let Some((highest, span)) = numbers.max_by_key(|(number, _)| *number) else {
        return;
    };
    let last = devices
        .controllers_of(ControllerType::Scsi)
        .max_by_key(|controller| controller.index);
    let model = last.map_or(Some(default_scsi(machine)), |controller| controller.model);
    for index in 0..=highest.min(LAST_ADDED) {
        add_for(devices, ControllerType::Scsi, index, model, &span);
    }
}

/// Highest index up to which controllers are added for a device. A higher one is a mistake, which
/// `validate` reports.
const LAST_ADDED: u32 = 255;

/// Adds the card readers that smart cards name.
fn add_for_smartcards(devices: &mut Devices) {
    let highest = devices
        .smartcards
        .iter()
        .map(|card| match &card.info.address {
            Some(Address::Ccid(ccid)) => ccid.controller.unwrap_or(0),
            _ => 0,
        });
    if let Some(highest) = highest.max() {
        for index in 0..=highest.min(LAST_ADDED) {
            add(devices, ControllerType::Ccid, index, None);
        }
    }
}
