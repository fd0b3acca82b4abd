//! The guest's memory: `-m`, its backend, `-overcommit`, and memory devices.

use passthru_domain::device::{Address, MemoryDevice, MemoryModel};
use passthru_domain::numa::{Numa, NumaCell};
use passthru_domain::{Board, Memory};

use super::backend::MemoryRange;
use super::pci;
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt};

/// Unit of the memory of the guest and of its nodes, in bytes.
const MIB: u64 = 1 << 20;

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let bytes = size(context);
    let list = List::headless().with("size", format!("{}k", bytes / 1024));
    let list = match context.domain.max_memory {
        Some(max) => list
            .maybe("slots", max.slots.filter(|slots| *slots > 0))
            .with("maxmem", format!("{}k", round_up(max.bytes(), MIB) / 1024)),
        None => list,
    };
    let whole = ram_id(context).map(|id| MemoryRange {
        id: id.into(),
        bytes,
        cell: None,
        device: None,
    });
    let backend = whole.map(|whole| whole.backend(context).options);
    let locked = context
        .domain
        .memory_backing
        .as_ref()
        .is_some_and(|backing| backing.locked);
    let lock = Opt::list("-overcommit", List::headless().with("mem-lock", locked));
    Ok([Opt::list("-m", list)]
        .into_iter()
        .chain(backend.into_iter().flatten())
        .chain([lock])
        .collect())
}

/// Returns the id of the backend of the machine's RAM; `None` if the memory of each node has a
/// backend of its own.
pub(crate) fn ram_id(context: &Context<'_>) -> Option<&'static str> {
    if numa(context).is_some() {
        return None;
    }
    match context.board() {
        Board::I440fx | Board::Q35 | Board::Isapc => Some("pc.ram"),
        Board::Microvm => Some("microvm.ram"),
        Board::Virt => Some("mach-virt.ram"),
        Board::S390Ccw => Some("s390.ram"),
        Board::Other => None,
    }
}

/// Returns the guest's NUMA nodes.
pub(crate) fn numa<'a>(context: &Context<'a>) -> Option<&'a Numa> {
    context.domain.cpu.as_ref()?.numa.as_ref()
}

/// Returns the memory of a node in bytes, rounded up to the unit.
pub(crate) fn of_cell(cell: &NumaCell) -> u64 {
    round_up(cell.memory, MIB)
}

/// Unit of the memory of a memory device, in bytes.
const DEVICE_UNIT: u64 = 2 * MIB;

fn round_up(bytes: u64, unit: u64) -> u64 {
    bytes.div_ceil(unit).saturating_mul(unit)
}

/// Returns the memory that the guest starts with in bytes: the memory of its nodes, or all memory
/// except that of memory devices.
fn size(context: &Context<'_>) -> u64 {
    if let Some(numa) = numa(context) {
        return numa.cells.iter().map(of_cell).fold(0, u64::saturating_add);
    }
    let devices = context
        .domain
        .devices
        .memories
        .iter()
        .map(|device| device.target.size.bytes());
    let all = context.domain.memory.map_or(0, Memory::bytes);
    round_up(
        all.saturating_sub(devices.fold(0, u64::saturating_add)),
        MIB,
    )
}

/// Returns `-machine sgx-epc.…`: the memories for enclaves.
pub(crate) fn enclaves(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let memories = context.domain.devices.memories.iter();
    let enclaves = memories.filter(|memory| memory.model == Some(MemoryModel::SgxEpc));
    let mut list = List::headless();
    for (number, enclave) in enclaves.enumerate() {
        list = list.with(format!("sgx-epc.{number}.memdev"), backend_id(enclave));
        if let Some(node) = enclave.target.node {
            list = list.with(format!("sgx-epc.{number}.node"), node);
        }
    }

    if list.0.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Opt::list("-machine", list)])
}

fn backend_id(memory: &MemoryDevice) -> String {
    format!("mem{}", memory.info.id())
}

/// Returns the backend of a memory device, and the device.
pub(crate) fn device(context: &Context<'_>, memory: &MemoryDevice) -> Result<Vec<Opt>, Error> {
    let node = memory.target.node;
    let cell = numa(context).and_then(|numa| {
        numa.cells
            .iter()
            .find(|cell| cell.id == node && node.is_some())
    });
    let bytes = round_up(memory.target.size.bytes(), DEVICE_UNIT);
    let range = MemoryRange {
        id: backend_id(memory),
        bytes,
        cell,
        device: Some(memory),
    };
    if memory.model == Some(MemoryModel::SgxEpc) {
        return Ok(vec![range.enclave(context)]);
    }
    let backend = range.backend(context);
    let device = match memory.model {
        Some(MemoryModel::VirtioMem | MemoryModel::VirtioPmem) => {
            virtio(context, memory, backend.prealloc)?
        }
        _ => module(memory),
    };
    Ok(backend
        .options
        .into_iter()
        .chain([Opt::device(device)])
        .collect())
}

/// Returns a memory module in a slot.
fn module(memory: &MemoryDevice) -> Object {
    let nvdimm = memory.model == Some(MemoryModel::Nvdimm);
    let target = &memory.target;
    let label = target.label.as_ref().and_then(|label| label.size);
    let (slot, base) = match &memory.info.address {
        Some(Address::Dimm(dimm)) => (dimm.slot, dimm.base),
        _ => (None, None),
    };
    Object::driver(if nvdimm { "nvdimm" } else { "pc-dimm" })
        .maybe("node", target.node)
        .maybe("label-size", label.map(Memory::bytes))
        .maybe("uuid", memory.uuid.map(|uuid| uuid.to_string()))
        .maybe("unarmed", target.readonly.then_some(true))
        .with("memdev", backend_id(memory))
        .with("id", memory.info.id())
        .maybe("slot", slot)
        .maybe("addr", base)
}

fn virtio(context: &Context<'_>, memory: &MemoryDevice, prealloc: bool) -> Result<Object, Error> {
    let mem = memory.model == Some(MemoryModel::VirtioMem);
    let target = &memory.target;
    let stem = if mem { "virtio-mem" } else { "virtio-pmem" };
    let prealloc = prealloc && mem;
    Ok(Object::driver(pci::virtio(stem, &memory.info)?)
        .maybe("node", target.node)
        .maybe("block-size", target.block.map(Memory::bytes))
        .maybe("requested-size", target.requested.map(Memory::bytes))
        .with("memdev", backend_id(memory))
        .maybe("prealloc", prealloc.then_some(true))
        .maybe(
            "memaddr",
            target.address.as_ref().and_then(|address| address.base),
        )
        .maybe("dynamic-memslots", target.dynamic_memslots)
        .with("id", memory.info.id())
        .and(pci::address(context, &memory.info)?))
}
