//! NUMA nodes of the guest, and of the host where its memory comes from.

use std::collections::HashMap;

use super::{Check, duplicates};
use crate::model::numa::Numa;
use crate::model::numatune::MemoryMode;
use crate::model::vcpu::Placement;

pub(super) fn check(check: &mut Check<'_>) {
    if let Some(numa) = check.domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()) {
        if numa.cells.len() > MOST_CELLS {
            check.error(
                &numa.span,
                format!("a guest has at most {MOST_CELLS} NUMA cells"),
            );
            return;
        }
        numbers(check, numa);
        cpus(check, numa);
        distances(check, numa);
        interconnects(check, numa);
    }
    numatune(check);
}

/// More nodes than any machine of the emulator takes.
const MOST_CELLS: usize = 128;

fn numbers(check: &mut Check<'_>, numa: &Numa) {
    let complete = (0..)
        .zip(&numa.cells)
        .all(|(number, cell)| cell.id == Some(number));
    if !complete {
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

fn cpus(check: &mut Check<'_>, numa: &Numa) {
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

fn distances(check: &mut Check<'_>, numa: &Numa) {
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
                    "<sibling id='{}'> of NUMA cell {id} has distance {}: only a cell itself is at distance 10",
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

fn interconnects(check: &mut Check<'_>, numa: &Numa) {
    let Some(interconnects) = &numa.interconnects else {
        return;
    };
    let latencies = interconnects.latencies.iter().map(|latency| &latency.path);
    for route in latencies.chain(
        interconnects
            .bandwidths
            .iter()
            .map(|bandwidth| &bandwidth.path),
    ) {
        let cell = |id: u32| numa.cells.iter().find(|cell| cell.id == Some(id));
        for (end, id) in [("initiator", route.initiator), ("target", route.target)] {
            if cell(id).is_none() {
                check.error(
                    &route.span,
                    format!("'{end}' {id} of <interconnects> is not a NUMA cell"),
                );
            }
        }
        if cell(route.initiator).is_some_and(|cell| cell.cpus.is_none()) {
            let message = format!(
                "'initiator' {} of <interconnects> is a NUMA cell without CPUs",
                route.initiator
            );
            check.error(&route.span, message);
        }
        let has = |level: u32| {
            cell(route.target).is_some_and(|cell| cell.caches.iter().any(|c| c.level == level))
        };
        if let Some(level) = route.cache.filter(|level| !has(*level)) {
            let target = route.target;
            check.error(
                &route.span,
                format!(
                    "'cache' {level} of <interconnects> is not a <cache> of NUMA cell {target}"
                ),
            );
        }
    }
}

fn numatune(check: &mut Check<'_>) {
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
    let restrictive = |mode: Option<MemoryMode>| mode == Some(MemoryMode::Restrictive);
    for memnode in &numatune.memnodes {
        let id = memnode.cellid;
        let wrong = match &numatune.memory {
            _ if cells == 0 => format!("<memnode cellid='{id}'>: the guest has no NUMA cells"),
            _ if id as usize >= cells => {
                format!("<memnode cellid='{id}'> is not one of the guest's {cells} NUMA cells")
            }
            Some(memory) if memory.placement == Some(Placement::Auto) => {
                format!("<memnode cellid='{id}'> cannot be used with <memory placement='auto'/>")
            }
            Some(memory) if restrictive(memory.mode) && !restrictive(memnode.mode) => {
                format!(
                    "<memnode cellid='{id}'> must be 'restrictive' too, as <memory> of <numatune> is"
                )
            }
            memory
                if restrictive(memnode.mode)
                    && !memory.as_ref().is_some_and(|m| restrictive(m.mode)) =>
            {
                format!(
                    "<memory> of <numatune> must be 'restrictive' too, as <memnode cellid='{id}'> is"
                )
            }
            _ => continue,
        };
        check.error(&memnode.span, wrong);
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
