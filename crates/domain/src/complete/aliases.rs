//! Aliases: the ids by which the emulator knows the devices. The names are libvirt's.

use std::collections::HashMap;

use crate::model::device::Item;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::disk::{Disk, DiskBus};
use crate::model::device::memory::{MemoryDevice, MemoryModel};
use crate::model::device::{Address, Devices, DriveAddress, Info, Interface};
use crate::platform::Board;

/// Gives an alias to every device that has none.
pub(super) fn fill(devices: &mut Devices, board: Board) {
    let mut nets = Numbers::of("net", devices.interfaces.iter().map(Interface::info));
    let mut hostdevs = Numbers::of("hostdev", devices.assigned().map(|h| &h.info));
    let mut memories = MEMORY_STEMS.map(|(_, stem)| Numbers { stem, next: 0 });
    let scsi = ScsiModels::of(devices);
    for item in devices.items() {
        if devices.info(item).is_none_or(|info| info.alias.is_some()) {
            continue;
        }
        let alias = match item {
            Item::Disk(n) => of_disk(&devices.disks[n], &scsi),
            Item::Controller(n) => of_controller(&devices.controllers[n], board),
            Item::Interface(n) if devices.interfaces[n].hostdev.is_some() => hostdevs.next(),
            Item::Interface(_) => nets.next(),
            // The first console is the first serial port, and has its name.
            Item::Console(0) if devices.has_serial_console() => {
                devices.serials[0].info.id().to_owned()
            }
            Item::Hostdev(_) => hostdevs.next(),
            Item::Memory(n) => of_memory(&devices.memories[n], &mut memories),
            other => other.usual_alias(),
        };
        if let Some(info) = devices.info_mut(item) {
            info.alias.get_or_insert(alias);
        }
    }
}

/// The numbers of a kind of devices, of which those with a name of the user's have none.
struct Numbers {
    stem: &'static str,
    next: u32,
}

impl Numbers {
    /// Goes on after the highest number that is there.
    fn of<'a>(stem: &'static str, infos: impl Iterator<Item = &'a Info>) -> Self {
        let numbers = infos.filter_map(|info| info.id().strip_prefix(stem)?.parse::<u32>().ok());
        Self {
            stem,
            next: numbers.max().map_or(0, |highest| highest.saturating_add(1)),
        }
    }

    fn next(&mut self) -> String {
        let alias = format!("{}{}", self.stem, self.next);
        self.next += 1;
        alias
    }
}

fn of_controller(controller: &Controller, board: Board) -> String {
    let index = controller.index.unwrap_or_default();
    match (controller.kind, index) {
        (Some(ControllerType::Pci), _) if controller.model == Some(ControllerModel::PcieRoot) => {
            format!("pcie.{index}")
        }
        (Some(ControllerType::Pci), _) => format!("pci.{index}"),
        // The board's own: its name is wired in.
        (Some(ControllerType::Ide), 0) if board == Board::I440fx => "ide".into(),
        (Some(ControllerType::Sata), 0) if board == Board::Q35 => "ide".into(),
        (Some(ControllerType::Usb), 0) => "usb".into(),
        (Some(kind), _) => format!("{kind}{index}"),
        (None, _) => String::new(),
    }
}

/// What the names of memory devices begin with, by their kind.
const MEMORY_STEMS: [(MemoryModel, &str); 5] = [
    (MemoryModel::Dimm, "dimm"),
    (MemoryModel::Nvdimm, "nvdimm"),
    (MemoryModel::VirtioPmem, "virtiopmem"),
    (MemoryModel::VirtioMem, "virtiomem"),
    (MemoryModel::SgxEpc, "epc"),
];

/// A module has the number of its slot, others are counted.
fn of_memory(memory: &MemoryDevice, counted: &mut [Numbers; 5]) -> String {
    let slot = match &memory.info.address {
        Some(Address::Dimm(dimm)) if memory.has_slot() => dimm.slot,
        _ => None,
    };
    let kind = MEMORY_STEMS
        .iter()
        .position(|(model, _)| Some(*model) == memory.model);
    match (kind, slot) {
        (Some(kind), Some(slot)) => format!("{}{slot}", MEMORY_STEMS[kind].1),
        (Some(kind), None) => counted[kind].next(),
        (None, _) => String::new(),
    }
}

/// Models of the SCSI controllers, by their indexes.
struct ScsiModels(HashMap<u32, Option<ControllerModel>>);

impl ScsiModels {
    fn of(devices: &Devices) -> Self {
        let mut models = HashMap::new();
        for controller in devices.controllers_of(ControllerType::Scsi) {
            if let Some(index) = controller.index {
                models.entry(index).or_insert(controller.model);
            }
        }
        Self(models)
    }
}

fn of_disk(disk: &Disk, scsi: &ScsiModels) -> String {
    let bus = disk.target.bus.unwrap_or(DiskBus::Virtio);
    let Some(Address::Drive(drive)) = &disk.info.address else {
        return format!("{bus}-disk{}", disk.target.index().unwrap_or_default());
    };
    let DriveAddress {
        controller,
        bus: channel,
        target,
        unit,
    } = drive;
    let [controller, channel, target, unit] =
        [controller, channel, target, unit].map(|n| n.unwrap_or_default());
    let has_targets = bus == DiskBus::Scsi
        && scsi.0.get(&controller).copied().flatten() != Some(ControllerModel::Lsilogic);
    if has_targets {
        format!("{bus}{controller}-{channel}-{target}-{unit}")
    } else {
        format!("{bus}{controller}-{channel}-{unit}")
    }
}
