//! The guest's memory: how much there is in all, its nodes, the slots of its modules.

use std::collections::BTreeSet;

use crate::model::device::address::DimmAddress;
use crate::model::device::{Address, Devices, MemoryModel};
use crate::model::domain::Domain;
use crate::model::memory::{Memory, MemoryAccess};
use crate::model::numa::Numa;
use crate::model::numatune::{MemoryMode, Numatune};
use crate::model::resources::Memtune;
use crate::model::vcpu::Placement;

/// Numbers the nodes, adds up their memory where `<memory>` is left out, and gives modules their
/// slots.
pub(super) fn fill(domain: &mut Domain) {
    if let Some(numa) = domain.cpu.as_mut().and_then(|cpu| cpu.numa.as_mut()) {
        number(numa);
    }
    total(domain);
    limits(domain);
    numatune(domain);
    devices(&mut domain.devices);
    slots(&mut domain.devices);
}

/// Gives each node the number of its place where it has none, and sorts them.
fn number(numa: &mut Numa) {
    for (place, cell) in (0..).zip(&mut numa.cells) {
        cell.id.get_or_insert(place);
    }
    numa.cells.sort_by_key(|cell| cell.id);
}

/// The whole memory is that of the nodes and of the memory devices. What the balloon leaves is not
/// more.
fn total(domain: &mut Domain) {
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

/// The amount that stands for no limit.
const UNLIMITED: u64 = 9_007_199_254_740_991 << 10;

/// What is no limit is left out.
fn limits(domain: &mut Domain) {
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

/// Where CPUs are placed by a service, so is the memory that nobody places.
fn numatune(domain: &mut Domain) {
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
        let usual = if auto && memory.nodeset.is_none() {
            Placement::Auto
        } else {
            Placement::Static
        };
        memory.placement.get_or_insert(usual);
    }
    for memnode in &mut numatune.memnodes {
        memnode.mode.get_or_insert(MemoryMode::Strict);
    }
    numatune.memnodes.sort_by_key(|memnode| memnode.cellid);
}

/// Persistent virtio memory is a file that others see too; enclaves are on the first node.
fn devices(devices: &mut Devices) {
    for memory in &mut devices.memories {
        match memory.model {
            Some(MemoryModel::VirtioPmem) => {
                memory.access.get_or_insert(MemoryAccess::Shared);
            }
            Some(MemoryModel::SgxEpc) => {
                memory.target.node.get_or_insert(0);
            }
            _ => {}
        }
    }
}

/// Gives each module that has no slot the lowest that is free.
fn slots(devices: &mut Devices) {
    let slot_of = |address: &Option<Address>| match address {
        Some(Address::Dimm(dimm)) => dimm.slot,
        _ => None,
    };
    let mut used: BTreeSet<u32> = devices
        .memories
        .iter()
        .filter_map(|m| slot_of(&m.info.address))
        .collect();
    let mut next = 0;
    for memory in devices
        .memories
        .iter_mut()
        .filter(|memory| memory.has_slot())
    {
        let address = memory
            .info
            .address
            .get_or_insert(Address::Dimm(DimmAddress::default()));
        if let Address::Dimm(dimm @ DimmAddress { slot: None, .. }) = address {
            while !used.insert(next) {
                next += 1;
            }
            dimm.slot = Some(next);
        }
    }
}
