//! The guest's memory: how much there can be, what it is made of.

use std::collections::HashMap;

use super::{Check, duplicates};
use crate::model::device::{Address, MemoryDevice, MemoryModel};
use crate::model::idset::IdSet;
use crate::model::memory::{Allocation, HugepageSize, MemorySource};
use crate::model::numa::Numa;
use crate::platform::Board;

pub(super) fn check(check: &mut Check<'_>) {
    hugepages(check);
    backing(check);
    hotplug(check);
    for device in &check.domain.devices.memories {
        for wrong in wrong_with(check, device) {
            check.error(&device.info.span, wrong);
        }
    }
}

/// The guest's nodes; a guest without `<numa>` is one node.
fn nodes(check: &Check<'_>) -> usize {
    numa(check).map_or(1, |numa| numa.cells.len())
}

fn numa<'a>(check: &Check<'a>) -> Option<&'a Numa> {
    check.domain.cpu.as_ref()?.numa.as_ref()
}

fn hugepages(check: &mut Check<'_>) {
    let backing = check.domain.memory_backing.as_ref();
    let Some(hugepages) = backing.and_then(|b| b.hugepages.as_ref()) else {
        return;
    };
    let (span, nodes) = (&check.domain.span, nodes(check));
    for nodeset in hugepages
        .pages
        .iter()
        .filter_map(|page| page.nodeset.as_ref())
    {
        if let Some(beyond) = nodeset.last().filter(|node| *node as usize >= nodes) {
            let message = format!(
                "hugepages for NUMA nodes '{nodeset}': the guest has {nodes}, and no node {beyond}"
            );
            check.error(span, message);
        }
    }
    let clash = |(first, second): (&HugepageSize, &HugepageSize), what: &str| {
        let (first, second) = (first.size.kib(), second.size.kib());
        format!("hugepages of {first} KiB and of {second} KiB are requested, {what}")
    };
    let general: Vec<_> = match numa(check) {
        Some(_) => hugepages
            .pages
            .iter()
            .filter(|page| page.nodeset.is_none())
            .collect(),
        None => hugepages.pages.iter().collect(),
    };
    if let [first, second, ..] = general.as_slice() {
        let what = match numa(check) {
            Some(_) => "both for all NUMA nodes",
            None => "but the guest has only one NUMA node",
        };
        check.error(span, clash((first, second), what));
    }
    if numa(check).is_some()
        && let Some(pages) = same_node(&hugepages.pages, nodes)
    {
        check.error(span, clash(pages, "both for the same NUMA node"));
    }
}

/// The first two sizes that are both for one of the guest's nodes.
fn same_node(pages: &[HugepageSize], nodes: usize) -> Option<(&HugepageSize, &HugepageSize)> {
    let mut page_of: HashMap<u32, &HugepageSize> = HashMap::new();
    for page in pages {
        let of_guest = page
            .nodeset
            .iter()
            .flat_map(IdSet::iter)
            .take_while(|node| (*node as usize) < nodes);
        if let Some(first) = of_guest
            .map(|node| page_of.insert(node, page))
            .find_map(|first| first)
        {
            return Some((first, page));
        }
    }
    None
}

/// Huge pages are files, and allocated at the start.
fn backing(check: &mut Check<'_>) {
    let Some(backing) = &check.domain.memory_backing else {
        return;
    };
    if backing.hugepages.is_none() {
        return;
    }
    let span = &check.domain.span;
    if backing.source == Some(MemorySource::Anonymous) {
        check.error(
            span,
            "hugepages cannot be used with <source type='anonymous'/>".into(),
        );
    }
    let mode = backing
        .allocation
        .as_ref()
        .and_then(|allocation| allocation.mode);
    if mode == Some(Allocation::Ondemand) {
        check.error(
            span,
            "hugepages cannot be used with <allocation mode='ondemand'/>".into(),
        );
    }
}

/// Memory that comes later: room for it, and slots.
fn hotplug(check: &mut Check<'_>) {
    let (domain, span) = (check.domain, &check.domain.span);
    let devices = &domain.devices.memories;
    let placed: Vec<_> = devices
        .iter()
        .filter(|device| device.model != Some(MemoryModel::SgxEpc))
        .collect();
    let Some(max) = domain.max_memory else {
        if let Some(device) = placed.first() {
            let message = "a memory device needs <maxMemory>".to_owned();
            check.error_with_hint(
                &device.info.span,
                message,
                "add <maxMemory slots='16' unit='GiB'>…</maxMemory>",
            );
        }
        return;
    };
    if numa(check).is_none() && check.machine.board != Board::S390Ccw {
        let message = "<maxMemory> needs a guest with a NUMA node".to_owned();
        check.error_with_hint(
            span,
            message,
            "add <cpu><numa><cell id='0' cpus=… memory=…/></numa></cpu>",
        );
    }
    let memory = domain.memory.map_or(0, |memory| memory.bytes());
    if max.bytes() < memory {
        let (max, memory) = (max.bytes() / 1024, memory / 1024);
        check.error(
            span,
            format!("<maxMemory> ({max} KiB) is less than <memory> ({memory} KiB)"),
        );
    }
    let added = devices
        .iter()
        .map(|device| device.target.size.bytes())
        .fold(0, u64::saturating_add);
    let nodes = numa(check).map_or_else(|| memory.saturating_sub(added), Numa::memory);
    if nodes.saturating_add(added) > max.bytes() {
        let (added, room) = (added / 1024, max.bytes().saturating_sub(nodes) / 1024);
        check.error(
            span,
            format!(
                "memory devices have {added} KiB, but <maxMemory> leaves room for only {room} KiB"
            ),
        );
    }
    slots(check, max.slots.unwrap_or(0));
}

fn slots(check: &mut Check<'_>, slots: u32) {
    let slot_of = |device: &MemoryDevice| match &device.info.address {
        Some(Address::Dimm(dimm)) => dimm.slot,
        _ => None,
    };
    let devices = &check.domain.devices.memories;
    let modules: Vec<_> = devices
        .iter()
        .filter_map(|device| Some((slot_of(device)?, device)))
        .collect();
    for (slot, device) in modules.iter().filter(|(slot, _)| *slot >= slots) {
        let message = format!(
            "slot {slot} of a memory module is not one of the {slots} slots of <maxMemory>"
        );
        check.error_with_hint(&device.info.span, message, "raise 'slots' of <maxMemory>");
    }
    for (_, second) in duplicates(modules.iter().map(|(slot, device)| (*slot, *device))) {
        let slot = slot_of(second).unwrap_or_default();
        check.error(
            &second.info.span,
            format!("slot {slot} is used by two memory modules"),
        );
    }
}

/// Returns what is wrong with one memory device.
fn wrong_with(check: &Check<'_>, device: &MemoryDevice) -> Vec<String> {
    let (model, target) = (device.model, &device.target);
    let name = model.map_or("memory", MemoryModel::as_str);
    let mut wrong: Vec<String> = Vec::new();
    let nodes = nodes(check);
    if check.machine.board == Board::S390Ccw && model != Some(MemoryModel::VirtioMem) {
        wrong.push(format!(
            "the machine '{}' has no memory devices of model '{name}'",
            check.machine.name
        ));
    }
    match target.node {
        Some(node) if model == Some(MemoryModel::VirtioPmem) => {
            wrong.push(format!(
                "a '{name}' device cannot have a NUMA <node>, but has {node}"
            ));
        }
        Some(node) if node as usize >= nodes => {
            wrong.push(format!(
                "a '{name}' device is for NUMA node {node}, but the guest has only {nodes}"
            ));
        }
        None if numa(check).is_some()
            && !matches!(model, Some(MemoryModel::VirtioPmem | MemoryModel::SgxEpc)) =>
        {
            wrong.push(format!(
                "a '{name}' device needs the <node> of the guest that it belongs to"
            ));
        }
        _ => {}
    }
    let source = device.source.as_ref();
    let path = source.and_then(|source| source.path.as_ref());
    let keeps = matches!(model, Some(MemoryModel::Nvdimm | MemoryModel::VirtioPmem));
    if keeps && path.is_none() {
        wrong.push(format!(
            "a '{name}' device needs the <path> of the file that keeps its contents"
        ));
    }
    if !keeps && path.is_some() {
        wrong.push(format!(
            "a '{name}' device cannot have a <path>: it keeps nothing"
        ));
    }
    let only = |part: &str, said: bool, kind: MemoryModel| {
        (said && model != Some(kind))
            .then(|| format!("<{part}> is for '{kind}' devices only, not for '{name}'"))
    };
    wrong.extend(only("label", target.label.is_some(), MemoryModel::Nvdimm));
    wrong.extend(only("readonly", target.readonly, MemoryModel::Nvdimm));
    wrong.extend(only(
        "pmem",
        source.is_some_and(|s| s.pmem),
        MemoryModel::Nvdimm,
    ));
    wrong.extend(only(
        "alignsize",
        source.is_some_and(|s| s.alignsize.is_some()),
        MemoryModel::Nvdimm,
    ));
    wrong.extend(only(
        "block",
        target.block.is_some(),
        MemoryModel::VirtioMem,
    ));
    wrong.extend(only(
        "requested",
        target.requested.is_some(),
        MemoryModel::VirtioMem,
    ));
    if target.dynamic_memslots.is_some() && model != Some(MemoryModel::VirtioMem) {
        wrong.push(format!(
            "'dynamicMemslots' is for 'virtio-mem' devices only, not for '{name}'"
        ));
    }
    if let Some(label) = target.label.as_ref().and_then(|label| label.size) {
        if label.bytes() < 128 << 10 {
            wrong.push("the <label> of an 'nvdimm' must have at least 128 KiB".into());
        }
        if label.bytes() >= target.size.bytes() {
            wrong.push("the <label> of an 'nvdimm' must be smaller than the device".into());
        }
    }
    if model == Some(MemoryModel::VirtioMem) {
        wrong.extend(wrong_with_blocks(device));
    }
    if model == Some(MemoryModel::VirtioPmem)
        && device
            .access
            .is_none_or(|access| access.as_str() != "shared")
    {
        wrong.push("a 'virtio-pmem' device needs access='shared'".into());
    }
    wrong
}

fn wrong_with_blocks(device: &MemoryDevice) -> Vec<String> {
    let target = &device.target;
    let (Some(block), Some(requested)) = (target.block, target.requested) else {
        return vec!["a 'virtio-mem' device needs its <block> and its <requested> size".into()];
    };
    let (size, block, requested) = (target.size.bytes(), block.bytes(), requested.bytes());
    let mut wrong = Vec::new();
    if !block.is_power_of_two() {
        wrong.push("the <block> of a 'virtio-mem' device must be a power of two".into());
    } else if size % block != 0 || requested % block != 0 {
        wrong.push(
            "<size> and <requested> of a 'virtio-mem' device must be multiples of its <block>"
                .into(),
        );
    }
    if requested > size {
        wrong.push("<requested> of a 'virtio-mem' device is more than its <size>".into());
    }
    wrong
}
