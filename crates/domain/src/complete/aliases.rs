//! Aliases: the ids of the devices in the emulator, named as libvirt names them.

use std::collections::{BTreeSet, HashMap};

use crate::model::device::Item;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::disk::{Disk, DiskBus};
use crate::model::device::memory::{MemoryDevice, MemoryModel};
use crate::model::device::{Address, Devices, DriveAddress, Info, Interface};
use crate::platform::Board;

/// Gives an alias to every device that has none.
pub(super) fn fill(devices: &mut Devices, board: Board) {
    fill_unused(devices, board, &BTreeSet::new());
}

/// Gives an alias that is not in `used` to every device that has none.
pub(crate) fn fill_unused(devices: &mut Devices, board: Board, used: &BTreeSet<String>) {
    let nets = devices.interfaces.iter().map(Interface::info);
    let mut nets = Sequence::new("net", nets.map(Info::id), used);
    let hostdevs = devices.assigned().map(|hostdev| hostdev.info.id());
    let mut hostdevs = Sequence::new("hostdev", hostdevs, used);
    let mut memories = MEMORY_STEMS.map(|(_, stem)| Sequence { stem, next: 0 });
    let scsi = ScsiModels::new(devices);
    for item in devices.items() {
        if devices.info(item).is_none_or(|info| info.alias.is_some()) {
            continue;
        }
        let alias = match item {
            Item::Disk(n) => disk_alias(&devices.disks[n], &scsi),
            Item::Controller(n) => controller_alias(&devices.controllers[n], board),
            Item::Interface(n) if devices.interfaces[n].hostdev.is_some() => hostdevs.next(),
            Item::Interface(_) => nets.next(),
            // The first console is the first serial port and shares its alias.
            Item::Console(0) if devices.has_serial_console() => {
                devices.serials[0].info.id().to_owned()
            }
            Item::Hostdev(_) => hostdevs.next(),
            Item::Memory(n) => memory_alias(&devices.memories[n], &mut memories),
            other => other.usual_alias(),
        };
        let alias = unused(alias, used);
        if let Some(info) = devices.info_mut(item) {
            info.alias.get_or_insert(alias);
        }
    }
}

/// Returns the alias, with the first number behind it that makes it one which is not in `used`.
fn unused(alias: String, used: &BTreeSet<String>) -> String {
    if !used.contains(&alias) {
        return alias;
    }
    let mut numbered = (1_u64..).map(|number| format!("{alias}-{number}"));
    let free = numbered.find(|numbered| !used.contains(numbered));
    free.unwrap_or(alias)
}

/// Aliases of one kind of device: a stem and a number.
struct Sequence {
    stem: &'static str,
    next: u32,
}

impl Sequence {
    /// Creates a sequence that starts after the highest number that an alias has, of the existing
    /// ones and those in `used`.
    fn new<'a>(
        stem: &'static str,
        existing: impl Iterator<Item = &'a str>,
        used: &'a BTreeSet<String>,
    ) -> Self {
        let all = existing.chain(used.iter().map(String::as_str));
        let numbers = all.filter_map(|alias| alias.strip_prefix(stem)?.parse::<u32>().ok());
        Self {
            stem,
            next: numbers.max().map_or(0, |highest| highest.saturating_add(1)),
        }
    }

    /// Returns the next alias.
    fn next(&mut self) -> String {
        let alias = format!("{}{}", self.stem, self.next);
        self.next += 1;
        alias
    }
}

/// Returns the alias of a controller.
fn controller_alias(controller: &Controller, board: Board) -> String {
    let index = controller.index.unwrap_or_default();
    match (controller.kind, index) {
        (Some(ControllerType::Pci), _) if controller.model == Some(ControllerModel::PcieRoot) => {
            format!("pcie.{index}")
        }
        (Some(ControllerType::Pci), _) => format!("pci.{index}"),
        // The emulator fixes the names of the board's own controllers.
        (Some(ControllerType::Ide), 0) if board == Board::I440fx => "ide".into(),
        (Some(ControllerType::Sata), 0) if board == Board::Q35 => "ide".into(),
        (Some(ControllerType::Usb), 0) => "usb".into(),
        (Some(kind), _) => format!("{kind}{index}"),
        (None, _) => String::new(),
    }
}

/// Stems of the aliases of memory devices, by model.
const MEMORY_STEMS: [(MemoryModel, &str); 5] = [
    (MemoryModel::Dimm, "dimm"),
    (MemoryModel::Nvdimm, "nvdimm"),
    (MemoryModel::VirtioPmem, "virtiopmem"),
    (MemoryModel::VirtioMem, "virtiomem"),
    (MemoryModel::SgxEpc, "epc"),
];

/// Returns the alias of a memory device. A module has the number of its slot; others are counted.
fn memory_alias(memory: &MemoryDevice, counted: &mut [Sequence; 5]) -> String {
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

/// Models of the SCSI controllers, by index.
struct ScsiModels(HashMap<u32, Option<ControllerModel>>);

impl ScsiModels {
    fn new(devices: &Devices) -> Self {
        let mut models = HashMap::new();
        for controller in devices.controllers_of(ControllerType::Scsi) {
            if let Some(index) = controller.index {
                models.entry(index).or_insert(controller.model);
            }
        }

        Self(models)
    }
}

/// Returns the alias of a disk: its bus and its drive address.
fn disk_alias(disk: &Disk, scsi: &ScsiModels) -> String {
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
    let model = scsi.0.get(&controller).copied().flatten();
    let has_targets = bus == DiskBus::Scsi && model != Some(ControllerModel::Lsilogic);
    if has_targets {
        format!("{bus}{controller}-{channel}-{target}-{unit}")
    } else {
        format!("{bus}{controller}-{channel}-{unit}")
    }
}
