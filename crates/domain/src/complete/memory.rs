//! The guest's memory: its total size, NUMA cells, limits, and the slots of memory modules.

use std::collections::BTreeSet;

use crate::model::device::address::DimmAddress;
use crate::model::device::{Address, Devices, MemoryModel};
use crate::model::domain::Domain;
use crate::model::memory::{Memory, MemoryAccess};
use crate::model::numa::Numa;
use crate::model::numatune::{MemoryMode, Numatune};
use crate::model::resources::Memtune;
use crate::model::vcpu::Placement;

/// Fills in the memory of a guest. If `<memory>` is missing, it is the sum of cells and devices.
pub(super) fn fill(domain: &mut Domain) {
    if let Some(numa) = domain.cpu.as_mut().and_then(|cpu| cpu.numa.as_mut()) {
        number_cells(numa);
    }
    fill_total(domain);
    remove_unlimited(domain);
    fill_numatune(domain);
    fill_devices(&mut domain.devices);
    assign_slots(&mut domain.devices);
}

/// Numbers the cells without an id by their position, and sorts all cells.
fn number_cells(numa: &mut Numa) {
    for (position, cell) in (0..).zip(&mut numa.cells) {
        cell.id.get_or_insert(position);
    }
    numa.cells.sort_by_key(|cell| cell.id);
}

/// Fills in the total memory and the current memory, which is at most the total.
fn fill_total(domain: &mut Domain) {
    let nodes = domain
        .cpu
        .as_ref()
        .and_then(|cpu| cpu.numa.as_ref())
        .map_or(0, Numa::memory);
    let devices = domain
        .devices
        .memories
        .iter()
        .map(|device| device.target.size.bytes());
    if domain.memory.is_none_or(|memory| memory.bytes() == 0) {
        domain.memory = Some(Memory::from_bytes(devices.fold(nodes, u64::saturating_add)));
    }
    let Some(memory) = domain.memory else { return };
    let current = domain
        .current_memory
        .filter(|current| (1..=memory.bytes()).contains(&current.bytes()));
    domain.current_memory = Some(current.unwrap_or(Memory::from_bytes(memory.bytes())));
}

/// Smallest limit that means no limit.
const UNLIMITED: u64 = 9_007_199_254_740_991 << 10;

/// Removes limits of `<memtune>` that mean no limit.
fn remove_unlimited(domain: &mut Domain) {
    let Some(tune) = &mut domain.memtune else {
        return;
    };
    let limits = [
        &mut tune.hard_limit,
        &mut tune.soft_limit,
        &mut tune.swap_hard_limit,
        &mut tune.min_guarantee,
    ];
    for limit in limits {
        *limit = limit.filter(|limit| limit.bytes() < UNLIMITED);
    }
    domain.memtune = domain
        .memtune
        .take()
        .filter(|tune| *tune != Memtune::default());
}

/// Fills in the placement of memory. If a service places the CPUs, it also places the memory that
/// the user does not place.
fn fill_numatune(domain: &mut Domain) {
    let auto = domain
        .vcpu
        .as_ref()
        .is_some_and(|vcpu| vcpu.placement == Some(Placement::Auto));
    if domain.numatune.is_none() && auto {
        domain.numatune = Some(Numatune {
            memory: Some(Default::default()),
            ..Numatune::default()
        });
    }

    let Some(numatune) = &mut domain.numatune else {
        return;
    };
    if let Some(memory) = &mut numatune.memory {
        memory.mode.get_or_insert(MemoryMode::Strict);
        let default = if auto && memory.nodeset.is_none() {
            Placement::Auto
        } else {
            Placement::Static
        };
        memory.placement.get_or_insert(default);
    }

    for memnode in &mut numatune.memnodes {
        memnode.mode.get_or_insert(MemoryMode::Strict);
    }
    numatune.memnodes.sort_by_key(|memnode| memnode.cellid);
}

/// Shares the file of persistent virtio memory, and puts enclave memory on the first node.
fn fill_devices(devices: &mut Devices) {
    for memory in &mut devices.memories {
        if memory.model == Some(MemoryModel::VirtioPmem) {
            memory.access.get_or_insert(MemoryAccess::Shared);
        } else if memory.model == Some(MemoryModel::SgxEpc) {
            memory.target.node.get_or_insert(0);
        }
    }
}

/// Gives each memory module without a slot the lowest free one.
fn assign_slots(devices: &mut Devices) {
    let mut used: BTreeSet<u32> = BTreeSet::new();
    for memory in &devices.memories {
        if let Some(Address::Dimm(dimm)) = &memory.info.address {
            used.extend(dimm.slot);
        }
    }

    let mut next = 0;
    for memory in &mut devices.memories {
        if !memory.has_slot() {
            continue;
        }
        let default = Address::Dimm(DimmAddress::default());
        let address = memory.info.address.get_or_insert(default);
        if let Address::Dimm(dimm @ DimmAddress { slot: None, .. }) = address {
            while !used.insert(next) {
                next += 1;
            }
            dimm.slot = Some(next);
        }
    }
}
