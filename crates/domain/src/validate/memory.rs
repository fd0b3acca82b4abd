//! The guest's memory: huge pages, backing, hotplug and memory devices.

use std::collections::HashMap;

use super::check::{Check, duplicates};
use crate::model::device::{Address, MemoryDevice, MemoryModel};
use crate::model::idset::IdSet;
use crate::model::memory::{Allocation, HugepageSize, MemorySource};
use crate::model::numa::Numa;
use crate::platform::Board;

pub(super) fn check(check: &mut Check<'_>) {
    check_hugepages(check);
    check_backing(check);
    check_hotplug(check);
    for device in &check.domain.devices.memories {
        for message in device_errors(check, device) {
            check.error(&device.info.span, message);
        }
    }
}

/// Returns the number of the guest's NUMA nodes. A guest without `<numa>` is one node.
fn nodes(check: &Check<'_>) -> usize {
    numa(check).map_or(1, |numa| numa.cells.len())
}

fn numa<'a>(check: &Check<'a>) -> Option<&'a Numa> {
    check.domain.cpu.as_ref()?.numa.as_ref()
}

/// Checks that each node has huge pages of one size.
fn check_hugepages(check: &mut Check<'_>) {
    let backing = check.domain.memory_backing.as_ref();
    let Some(hugepages) = backing.and_then(|b| b.hugepages.as_ref()) else {
        return;
    };
    let span = &check.domain.place_of("memoryBacking/hugepages");
    let nodes = nodes(check);
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

    let general: Vec<_> = match numa(check) {
        Some(_) => hugepages
            .pages
            .iter()
            .filter(|page| page.nodeset.is_none())
            .collect(),
        None => hugepages.pages.iter().collect(),
    };
    if let [first, second, ..] = general.as_slice() {
        let reason = match numa(check) {
            Some(_) => "both for all NUMA nodes",
            None => "but the guest has only one NUMA node",
        };
        check.error(span, size_conflict(first, second, reason));
    }

    if numa(check).is_some()
        && let Some((first, second)) = same_node(&hugepages.pages, nodes)
    {
        check.error(
            span,
            size_conflict(first, second, "both for the same NUMA node"),
        );
    }
}

/// Returns the message that two page sizes exclude each other.
fn size_conflict(first: &HugepageSize, second: &HugepageSize, reason: &str) -> String {
    let first = first.size.kib();
    let second = second.size.kib();
    format!("hugepages of {first} KiB and of {second} KiB are requested, {reason}")
}

/// Returns the first two page sizes that are both for one of the guest's nodes.
fn same_node(pages: &[HugepageSize], nodes: usize) -> Option<(&HugepageSize, &HugepageSize)> {
    let mut page_of: HashMap<u32, &HugepageSize> = HashMap::new();
    for page in pages {
        for node in page.nodeset.iter().flat_map(IdSet::iter) {
            if node as usize >= nodes {
                break;
            }
            if let Some(first) = page_of.insert(node, page) {
                return Some((first, page));
            }
        }
    }

    None
}

/// Checks the backing of huge pages: they are files, and allocated at the start.
fn check_backing(check: &mut Check<'_>) {
    let Some(backing) = &check.domain.memory_backing else {
        return;
    };
    if backing.hugepages.is_none() {
        return;
    }
    let span = &check.domain.place_of("memoryBacking/hugepages");
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

/// Checks `<maxMemory>`: room and slots for memory devices.
fn check_hotplug(check: &mut Check<'_>) {
    let domain = check.domain;
    let span = &domain.place_of("maxMemory");
    let devices = &domain.devices.memories;
    let Some(max) = domain.max_memory else {
        // Enclave memory does not need <maxMemory>.
        let hotpluggable = devices
            .iter()
            .find(|device| device.model != Some(MemoryModel::SgxEpc));
        if let Some(device) = hotpluggable {
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
        let max = max.bytes() / 1024;
        let memory = memory / 1024;
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
        let added = added / 1024;
        let room = max.bytes().saturating_sub(nodes) / 1024;
        check.error(
            span,
            format!(
                "memory devices have {added} KiB, but <maxMemory> leaves room for only {room} KiB"
            ),
        );
    }

    check_slots(check, max.slots.unwrap_or(0));
}

/// Checks that the slots of memory modules are below `slots` and unique.
fn check_slots(check: &mut Check<'_>, slots: u32) {
    let mut modules = Vec::new();
    for device in &check.domain.devices.memories {
        if let Some(Address::Dimm(dimm)) = &device.info.address
            && let Some(slot) = dimm.slot
        {
            modules.push((slot, device));
        }
    }

    for (slot, device) in modules.iter().filter(|(slot, _)| *slot >= slots) {
        let message = format!(
            "slot {slot} of a memory module is not one of the {slots} slots of <maxMemory>"
        );
        check.error_with_hint(&device.info.span, message, "raise 'slots' of <maxMemory>");
    }

    for (_, (slot, second)) in duplicates(modules.iter().map(|module| (module.0, module))) {
        check.error(
            &second.info.span,
            format!("slot {slot} is used by two memory modules"),
        );
    }
}

/// Returns the errors of one memory device.
fn device_errors(check: &Check<'_>, device: &MemoryDevice) -> Vec<String> {
    let model = device.model;
    let target = &device.target;
    let name = model.map_or("memory", MemoryModel::as_str);
    let mut errors: Vec<String> = Vec::new();
    let nodes = nodes(check);
    if check.machine.board == Board::S390Ccw && model != Some(MemoryModel::VirtioMem) {
        errors.push(format!(
            "the machine '{}' has no memory devices of model '{name}'",
            check.machine.name
        ));
    }

    match target.node {
        Some(node) if model == Some(MemoryModel::VirtioPmem) => {
            errors.push(format!(
                "a '{name}' device cannot have a NUMA <node>, but has {node}"
            ));
        }
        Some(node) if node as usize >= nodes => {
            errors.push(format!(
                "a '{name}' device is for NUMA node {node}, but the guest has only {nodes}"
            ));
        }
        None if numa(check).is_some()
            && !matches!(model, Some(MemoryModel::VirtioPmem | MemoryModel::SgxEpc)) =>
        {
            errors.push(format!(
                "a '{name}' device needs the <node> of the guest that it belongs to"
            ));
        }
        _ => {}
    }

    let source = device.source.as_ref();
    let path = source.and_then(|source| source.path.as_ref());
    let is_persistent = matches!(model, Some(MemoryModel::Nvdimm | MemoryModel::VirtioPmem));
    if is_persistent && path.is_none() {
        errors.push(format!(
            "a '{name}' device needs the <path> of the file that keeps its contents"
        ));
    }

    if !is_persistent && path.is_some() {
        errors.push(format!(
            "a '{name}' device cannot have a <path>: it keeps nothing"
        ));
    }

    let nvdimm = MemoryModel::Nvdimm;
    let virtio_mem = MemoryModel::VirtioMem;
    let parts = [
        ("label", target.label.is_some(), nvdimm),
        ("readonly", target.readonly, nvdimm),
        ("pmem", source.is_some_and(|s| s.pmem), nvdimm),
        (
            "alignsize",
            source.is_some_and(|s| s.alignsize.is_some()),
            nvdimm,
        ),
        ("block", target.block.is_some(), virtio_mem),
        ("requested", target.requested.is_some(), virtio_mem),
    ];
    for (part, is_set, only) in parts {
        if is_set && model != Some(only) {
            errors.push(format!(
                "<{part}> is for '{only}' devices only, not for '{name}'"
            ));
        }
    }

    if target.dynamic_memslots.is_some() && model != Some(MemoryModel::VirtioMem) {
        errors.push(format!(
            "'dynamicMemslots' is for 'virtio-mem' devices only, not for '{name}'"
        ));
    }

    if let Some(label) = target.label.as_ref().and_then(|label| label.size) {
        if label.bytes() < 128 << 10 {
            errors.push("the <label> of an 'nvdimm' must have at least 128 KiB".into());
        }
        if label.bytes() >= target.size.bytes() {
            errors.push("the <label> of an 'nvdimm' must be smaller than the device".into());
        }
    }

    if model == Some(MemoryModel::VirtioMem) {
        errors.extend(block_errors(device));
    }
    if model == Some(MemoryModel::VirtioPmem)
        && device
            .access
            .is_none_or(|access| access.as_str() != "shared")
    {
        errors.push("a 'virtio-pmem' device needs access='shared'".into());
    }

    errors
}

/// Returns the errors of the sizes of a `virtio-mem` device.
fn block_errors(device: &MemoryDevice) -> Vec<String> {
    let target = &device.target;
    let (Some(block), Some(requested)) = (target.block, target.requested) else {
        return vec!["a 'virtio-mem' device needs its <block> and its <requested> size".into()];
    };
    let size = target.size.bytes();
    let block = block.bytes();
    let requested = requested.bytes();
    let mut errors = Vec::new();
    if !block.is_power_of_two() {
        errors.push("the <block> of a 'virtio-mem' device must be a power of two".into());
    } else if !size.is_multiple_of(block) || !requested.is_multiple_of(block) {
        errors.push(
            "<size> and <requested> of a 'virtio-mem' device must be multiples of its <block>"
                .into(),
        );
    }

    if requested > size {
        errors.push("<requested> of a 'virtio-mem' device is more than its <size>".into());
    }
    errors
}
