//! Controllers: those that the machine has, those that devices need, and what they leave out.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{usb, virtio_ports};
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::controller_list::{insert, sort};
use crate::model::device::disk::DiskBus;
use crate::model::device::{Address, Devices};
use crate::platform::{Board, Machine};
use crate::xml::span::SourceSpan;

/// Numbers the controllers, sorts them, adds those that are missing, and fills in models.
pub(super) fn fill(devices: &mut Devices, machine: &Machine) {
    number(&mut devices.controllers);
    sort(&mut devices.controllers);
    machines_own(devices, machine);
    for controller in &mut devices.controllers {
        usual_model(controller, machine);
    }
    for_disks(devices, machine);
    for_hostdevs(devices, machine);
    virtio_ports::add_controllers(devices);
    for_smartcards(devices);
}

/// Gives each controller without an index the lowest that is free among its kind; members of a USB
/// 2 group that stand together get the same.
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

/// Whether a controller is, or may be, the root bus: PCI's 0.
fn is_root(controller: &Controller) -> bool {
    let model = controller.model;
    controller.kind == Some(ControllerType::Pci)
        && matches!(
            model,
            None | Some(ControllerModel::PciRoot | ControllerModel::PcieRoot)
        )
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
        add(devices, ControllerType::Pci, 0, Some(machine.root_bus()));
    }
}

/// Adds a controller, where there is none of that kind and index.
pub(super) fn add(
    devices: &mut Devices,
    kind: ControllerType,
    index: u32,
    model: Option<ControllerModel>,
) {
    add_for(devices, kind, index, model, &SourceSpan::default());
}

/// Adds those controllers of a kind that are not there, each without a model, in time linear in
/// all.
pub(super) fn add_all(devices: &mut Devices, kind: ControllerType, indexes: BTreeSet<u32>) {
    let there: HashSet<u32> = devices
        .controllers_of(kind)
        .filter_map(|c| c.index)
        .collect();
    let missing: Vec<_> = indexes
        .into_iter()
        .filter(|index| !there.contains(index))
        .collect();
    if !missing.is_empty() {
        devices.controllers.extend(
            missing
                .into_iter()
                .map(|index| Controller::new(kind, index, None)),
        );
        sort(&mut devices.controllers);
    }
}

/// The same for the sake of a device, whose place is the controller's too.
fn add_for(
    devices: &mut Devices,
    kind: ControllerType,
    index: u32,
    model: Option<ControllerModel>,
    place: &SourceSpan,
) {
    if devices.controller(kind, index).is_none() {
        let mut controller = Controller::new(kind, index, model);
        controller.info.span = place.clone();
        insert(&mut devices.controllers, controller);
    }
}

fn usual_model(controller: &mut Controller, machine: &Machine) {
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
        Some(ControllerType::Scsi) => Some(usual_scsi(machine)),
        Some(ControllerType::Pci) if controller.index == Some(0) => Some(machine.root_bus()),
        Some(ControllerType::Pci) if machine.is_express() => Some(ControllerModel::PcieRootPort),
        Some(ControllerType::Pci) => Some(ControllerModel::PciBridge),
        _ => None,
    };
}

const fn usual_scsi(machine: &Machine) -> ControllerModel {
    match machine.board {
        Board::I440fx | Board::Q35 | Board::Isapc | Board::Virt => ControllerModel::Lsilogic,
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
        let numbers = on_bus.filter_map(|d| match &d.info.address {
            Some(Address::Drive(drive)) => Some((drive.controller?, d.info.span.clone())),
            _ => None,
        });
        let Some((highest, place)) = numbers.max_by_key(|(number, _)| *number) else {
            continue;
        };
        let model = (kind == ControllerType::Scsi).then(|| usual_scsi(machine));
        for index in 0..=highest.min(MOST_OF_A_KIND) {
            add_for(devices, kind, index, model, &place);
        }
    }
}

/// Adds SCSI controllers up to the highest that a device of the host is on, of the model that is
/// there.
fn for_hostdevs(devices: &mut Devices, machine: &Machine) {
    let numbers = devices
        .hostdevs
        .iter()
        .filter_map(|hostdev| match &hostdev.info.address {
            Some(Address::Drive(drive)) => Some((drive.controller?, hostdev.info.span.clone())),
            _ => None,
        });
    let Some((highest, place)) = numbers.max_by_key(|(number, _)| *number) else {
        return;
    };
    let there = devices
        .controllers_of(ControllerType::Scsi)
        .max_by_key(|controller| controller.index);
    let model = there.map_or(Some(usual_scsi(machine)), |controller| controller.model);
    for index in 0..=highest.min(MOST_OF_A_KIND) {
        add_for(devices, ControllerType::Scsi, index, model, &place);
    }
}

/// Controllers that are added for a disk's sake; an index beyond is the user's mistake.
const MOST_OF_A_KIND: u32 = 255;

fn for_smartcards(devices: &mut Devices) {
    let highest = devices
        .smartcards
        .iter()
        .map(|card| match &card.info.address {
            Some(Address::Ccid(ccid)) => ccid.controller.unwrap_or(0),
            _ => 0,
        });
    if let Some(highest) = highest.max() {
        for index in 0..=highest.min(MOST_OF_A_KIND) {
            add(devices, ControllerType::Ccid, index, None);
        }
    }
}
