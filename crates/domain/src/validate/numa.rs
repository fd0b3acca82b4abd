//! NUMA cells of the guest, and the host's NUMA nodes that its memory comes from.

use std::collections::HashMap;

use super::check::{Check, duplicates};
use crate::model::numa::{Numa, NumaCell};
use crate::model::numatune::MemoryMode;
use crate::model::vcpu::Placement;

pub(super) fn check(check: &mut Check<'_>) {
    if let Some(numa) = check.domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()) {
        if numa.cells.len() > MAX_CELLS {
            check.error(
                &numa.span,
                format!("a guest has at most {MAX_CELLS} NUMA cells"),
            );
            return;
        }
        check_ids(check, numa);
        check_cpus(check, numa);
        check_distances(check, numa);
        check_interconnects(check, numa);
    }

    check_numatune(check);
}

/// Maximum number of cells. QEMU's machines have at most 128 NUMA nodes (`MAX_NODES`).
const MAX_CELLS: usize = 128;

/// Checks that the ids of the cells are 0, 1, 2 and so on.
fn check_ids(check: &mut Check<'_>, numa: &Numa) {
    let is_complete = (0..)
        .zip(&numa.cells)
        .all(|(number, cell)| cell.id == Some(number));
    if !is_complete {
        let ids: Vec<_> = numa
            .cells
            .iter()
            .filter_map(|cell| cell.id)
            .map(|id| id.to_string())
            .collect();
        let message = format!(
            "the ids of NUMA cells are {}: there must be one <cell> for each from 0 to {}",
            ids.join(", "),
            numa.cells.len() - 1
        );
        check.error(&numa.span, message);
    }
}

/// Checks that each CPU is in one cell only, and below the count of `<vcpu>`.
fn check_cpus(check: &mut Check<'_>, numa: &Numa) {
    let mut cell_of: HashMap<u32, u32> = HashMap::new();
    for cell in &numa.cells {
        let id = cell.id.unwrap_or_default();
        let mut taken = cell.cpus.iter().flat_map(crate::model::idset::IdSet::iter);
        if let Some((cpu, first)) = taken.find_map(|cpu| Some((cpu, cell_of.insert(cpu, id)?))) {
            check.error(
                &cell.span,
                format!("CPU {cpu} is in two NUMA cells, {first} and {id}"),
            );
        }
    }

    let count = check
        .domain
        .vcpu
        .as_ref()
        .and_then(|vcpu| vcpu.count)
        .unwrap_or(1);
    for cell in &numa.cells {
        if let Some(beyond) = cell
            .cpus
            .as_ref()
            .and_then(|cpus| cpus.last())
            .filter(|last| *last >= count)
        {
            let id = cell.id.unwrap_or_default();
            let message =
                format!("NUMA cell {id} has CPU {beyond}, but <vcpu> has only {count} CPUs");
            check.error(&cell.span, message);
        }
    }
}

/// Checks the distances between cells.
fn check_distances(check: &mut Check<'_>, numa: &Numa) {
    for cell in &numa.cells {
        let id = cell.id.unwrap_or_default();
        let siblings = cell.distances.iter().flat_map(|d| &d.siblings);
        for sibling in siblings.clone() {
            if numa.cells.iter().all(|other| other.id != Some(sibling.id)) {
                let message = format!(
                    "<sibling id='{}'> of NUMA cell {id} is not a cell",
                    sibling.id
                );
                check.error(&sibling.span, message);
            } else if (sibling.id == id) != (sibling.value == 10) {
                let message = format!(
                    "<sibling id='{}'> of NUMA cell {id} has distance {}: \
                     only a cell itself is at distance 10",
                    sibling.id, sibling.value
                );
                check.error(&sibling.span, message);
            }
        }
        for (first, second) in duplicates(siblings.map(|sibling| (sibling.id, sibling))) {
            check.error(
                &second.span,
                format!(
                    "<sibling id='{}'> of NUMA cell {id} appears twice",
                    first.id
                ),
            );
        }
    }
}

/// Checks that the ends of each `<latency>` and `<bandwidth>` exist.
fn check_interconnects(check: &mut Check<'_>, numa: &Numa) {
    let Some(interconnects) = &numa.interconnects else {
        return;
    };
    let latencies = interconnects.latencies.iter().map(|latency| &latency.path);
    for path in latencies.chain(
        interconnects
            .bandwidths
            .iter()
            .map(|bandwidth| &bandwidth.path),
    ) {
        for (end, id) in [("initiator", path.initiator), ("target", path.target)] {
            if find_cell(numa, id).is_none() {
                check.error(
                    &path.span,
                    format!("'{end}' {id} of <interconnects> is not a NUMA cell"),
                );
            }
        }
        if find_cell(numa, path.initiator).is_some_and(|cell| cell.cpus.is_none()) {
            let message = format!(
                "'initiator' {} of <interconnects> is a NUMA cell without CPUs",
                path.initiator
            );
            check.error(&path.span, message);
        }
        let caches = find_cell(numa, path.target).map_or(&[][..], |cell| &cell.caches);
        if let Some(level) = path.cache
            && caches.iter().all(|cache| cache.level != level)
        {
            let target = path.target;
            check.error(
                &path.span,
                format!(
                    "'cache' {level} of <interconnects> is not a <cache> of NUMA cell {target}"
                ),
            );
        }
    }
}

/// Returns the cell with an id.
fn find_cell(numa: &Numa, id: u32) -> Option<&NumaCell> {
    numa.cells.iter().find(|cell| cell.id == Some(id))
}

/// Checks `<numatune>`: from which host nodes the guest's memory comes, and by which policy.
fn check_numatune(check: &mut Check<'_>) {
    let domain = check.domain;
    let Some(numatune) = &domain.numatune else {
        return;
    };
    let cells = domain
        .cpu
        .as_ref()
        .and_then(|cpu| cpu.numa.as_ref())
        .map_or(0, |numa| numa.cells.len());
    if let Some(memory) = &numatune.memory
        && memory.placement != Some(Placement::Auto)
        && memory.nodeset.is_none()
    {
        let message = "<memory> of <numatune> needs a 'nodeset'".to_owned();
        check.error_with_hint(
            &memory.span,
            message,
            "add 'nodeset', or set placement='auto'",
        );
    }

    for memnode in &numatune.memnodes {
        let id = memnode.cellid;
        let message = match &numatune.memory {
            _ if cells == 0 => format!("<memnode cellid='{id}'>: the guest has no NUMA cells"),
            _ if id as usize >= cells => {
                format!("<memnode cellid='{id}'> is not one of the guest's {cells} NUMA cells")
            }
            Some(memory) if memory.placement == Some(Placement::Auto) => {
                format!("<memnode cellid='{id}'> cannot be used with <memory placement='auto'/>")
            }
            Some(memory) if is_restrictive(memory.mode) && !is_restrictive(memnode.mode) => {
                format!(
                    "<memnode cellid='{id}'> must be 'restrictive' too, \
                     as <memory> of <numatune> is"
                )
            }
            memory
                if is_restrictive(memnode.mode)
                    && !memory.as_ref().is_some_and(|m| is_restrictive(m.mode)) =>
            {
                format!(
                    "<memory> of <numatune> must be 'restrictive' too, \
                     as <memnode cellid='{id}'> is"
                )
            }
            _ => continue,
        };
        check.error(&memnode.span, message);
    }

    for (first, second) in duplicates(
        numatune
            .memnodes
            .iter()
            .map(|memnode| (memnode.cellid, memnode)),
    ) {
        check.error(
            &second.span,
            format!("<memnode cellid='{}'> appears twice", first.cellid),
        );
    }
}

/// Returns whether a policy is `restrictive`.
fn is_restrictive(mode: Option<MemoryMode>) -> bool {
    mode == Some(MemoryMode::Restrictive)
}
