//! `-numa`: the guest's NUMA nodes, their distances, and the speed of their memory.

use passthru_domain::IdSet;
use passthru_domain::numa::{
    Associativity, CellCache, HmatAccess, Interconnects, Numa, NumaCell, NumaPath, WritePolicy,
};

use super::backend::MemoryRange;
use super::memory::{numa, of_cell};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Opt};

/// Most nodes of a guest, as `MAX_NODES` in QEMU.
const MAX_NODES: usize = 128;

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    // The distances are quadratic, and a domain that is not valid can have any number of nodes.
    let Some(numa) = numa(context).filter(|numa| numa.cells.len() <= MAX_NODES) else {
        return Ok(Vec::new());
    };
    let mut options = Vec::new();
    for cell in &numa.cells {
        options.extend(node(context, numa, cell));
    }
    options.extend(distances(numa));
    if let Some(interconnects) = &numa.interconnects {
        options.extend(speeds(interconnects));
    }
    for cell in &numa.cells {
        options.extend(cell.caches.iter().map(|known| cache(cell, known)));
    }
    Ok(options)
}

fn id(cell: &NumaCell) -> u32 {
    cell.id.unwrap_or_default()
}

/// Returns a node with its CPUs, after the backend of its memory.
fn node(context: &Context<'_>, numa: &Numa, cell: &NumaCell) -> Vec<Opt> {
    let backend_id = format!("ram-node{}", id(cell));
    let has_memory = cell.memory > 0;
    let mut options = Vec::new();
    if has_memory {
        let bytes = of_cell(cell);
        let range = MemoryRange {
            id: backend_id.clone(),
            bytes,
            cell: Some(cell),
            device: None,
        };
        options = range.backend(context).options;
    }

    let list = List::new("node").with("nodeid", id(cell));
    let runs = cell.cpus.as_ref().map(IdSet::runs).unwrap_or_default();
    let list = runs.iter().fold(list, |list, (first, last)| {
        if first == last {
            list.with("cpus", *first)
        } else {
            list.with("cpus", format!("{first}-{last}"))
        }
    });
    let initiator = numa.has_hmat().then(|| initiator(numa, cell)).flatten();
    let list = list
        .maybe("initiator", initiator)
        .maybe("memdev", has_memory.then_some(backend_id));
    options.push(Opt::list("-numa", list));
    options
}

/// Returns the node whose CPUs are nearest to the memory of a node:
///
/// - If the node has CPUs, then the node itself.
/// - Else the node with the lowest latency, or else the one with the highest bandwidth.
/// - Else the first node that has CPUs.
fn initiator(numa: &Numa, cell: &NumaCell) -> Option<u32> {
    if cell.cpus.is_some() {
        return cell.id;
    }
    let leads_here = |route: &NumaPath| route.target == id(cell) && route.cache.is_none();
    let interconnects = numa.interconnects.as_ref();
    let latencies = interconnects.into_iter().flat_map(|known| &known.latencies);
    let nearest = latencies
        .filter(|l| leads_here(&l.path))
        .min_by_key(|l| l.nanoseconds);
    let bandwidths = interconnects
        .into_iter()
        .flat_map(|known| &known.bandwidths);
    let widest = bandwidths
        .filter(|b| leads_here(&b.path))
        .max_by_key(|b| b.bytes);
    nearest
        .map(|l| l.path.initiator)
        .or(widest.map(|b| b.path.initiator))
        .or_else(|| {
            let mut cells = numa.cells.iter();
            cells.find(|cell| cell.cpus.is_some())?.id
        })
}

/// Returns the distances between all nodes, if the domain names any. Others get the default: 10
/// within a node, 20 between nodes.
fn distances(numa: &Numa) -> Vec<Opt> {
    if numa.cells.iter().all(|cell| {
        cell.distances
            .as_ref()
            .is_none_or(|d| d.siblings.is_empty())
    }) {
        return Vec::new();
    }

    let pairs = numa
        .cells
        .iter()
        .flat_map(|from| numa.cells.iter().map(move |to| (id(from), id(to))));
    let dist = |(from, to)| {
        let usual = if from == to { 10 } else { 20 };
        let value = numa.distance(from, to).unwrap_or(usual);
        Opt::list(
            "-numa",
            List::new("dist")
                .with("src", from)
                .with("dst", to)
                .with("val", value),
        )
    };
    pairs.map(dist).collect()
}

/// Returns latencies and bandwidths (`hmat-lb`).
fn speeds(known: &Interconnects) -> Vec<Opt> {
    let latencies = known
        .latencies
        .iter()
        .map(|latency| hmat(&latency.path, "latency").with("latency", latency.nanoseconds));
    let bandwidths = known.bandwidths.iter().map(|bandwidth| {
        hmat(&bandwidth.path, "bandwidth").with("bandwidth", format!("{}K", bandwidth.bytes / 1024))
    });
    latencies
        .chain(bandwidths)
        .map(|list| Opt::list("-numa", list))
        .collect()
}

fn hmat(route: &NumaPath, what: &str) -> List {
    let hierarchy = match route.cache {
        None => "memory",
        Some(1) => "first-level",
        Some(2) => "second-level",
        Some(_) => "third-level",
    };
    let kind = route.kind.unwrap_or(HmatAccess::Access);
    List::new("hmat-lb")
        .with("initiator", route.initiator)
        .with("target", route.target)
        .with("hierarchy", hierarchy)
        .with("data-type", format!("{kind}-{what}"))
}

/// Returns a cache before the memory of a node (`hmat-cache`).
fn cache(cell: &NumaCell, cache: &CellCache) -> Opt {
    let associativity = match cache.associativity {
        Some(Associativity::Direct) => "direct",
        Some(Associativity::Full) => "complex",
        Some(Associativity::None) | None => "none",
    };
    let policy = match cache.policy {
        Some(WritePolicy::Writeback) => "write-back",
        Some(WritePolicy::Writethrough) => "write-through",
        Some(WritePolicy::None) | None => "none",
    };
    let size = cache.size.as_ref().map_or(0, |size| size.bytes);
    let list = List::new("hmat-cache")
        .with("node-id", id(cell))
        .with("size", format!("{}K", size / 1024))
        .with("level", cache.level)
        .with("associativity", associativity)
        .with("policy", policy)
        .maybe("line", cache.line.as_ref().map(|line| line.bytes));
    Opt::list("-numa", list)
}
