//! `<numa>` of `<cpu>`: the guest's NUMA nodes, their distances and caches.

use crate::model::idset::IdSet;
use crate::model::memory::{MemoryAccess, visit_amount};
use crate::xml::span::SourceSpan;
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

/// `<numa>`: the guest's NUMA nodes, and the speed of memory from each of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numa {
    /// Source position of the element.
    pub span: SourceSpan,
    /// NUMA nodes. `complete` numbers and sorts them.
    pub cells: Vec<NumaCell>,
    /// Latencies and bandwidths (ACPI's HMAT).
    pub interconnects: Option<Interconnects>,
}

/// `<cell>`: a NUMA node of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaCell {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Number of the node.
    pub id: Option<u32>,
    /// CPUs of the node. If it is absent, the node has memory only.
    pub cpus: Option<IdSet>,
    /// Memory of the node in bytes.
    pub memory: u64,
    /// Visibility of the memory to other processes.
    pub mem_access: Option<MemoryAccess>,
    /// Permission to discard the contents when the guest ends.
    pub discard: Option<bool>,
    /// Distances to other nodes.
    pub distances: Option<Distances>,
    /// Memory-side caches of the node.
    pub caches: Vec<CellCache>,
}

/// `<distances>` of a `<cell>`: distances to other nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// Distances, at most one for each other node.
    pub siblings: Vec<Sibling>,
}

/// `<sibling>`: the distance to one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sibling {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Number of the other node.
    pub id: u32,
    /// Distance: 10 for the node itself, usually 20 for others, 255 for an unreachable node.
    pub value: u32,
}

words! {
    /// The associativity of a memory-side cache.
    pub enum Associativity {
        /// Unspecified.
        None = "none",
        /// Direct mapped: each address has one place in the cache.
        Direct = "direct",
        /// Complex: each address has several possible places in the cache.
        Full = "full",
    }
}

words! {
    /// The write policy of a memory-side cache.
    pub enum WritePolicy {
        /// Unspecified.
        None = "none",
        /// Writes reach the memory later.
        Writeback = "writeback",
        /// Writes reach the memory at once.
        Writethrough = "writethrough",
    }
}

/// `<cache>` of a `<cell>`: a cache between CPUs and the node's memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellCache {
    /// Level, 1 to 3.
    pub level: u32,
    /// Associativity of the cache.
    pub associativity: Option<Associativity>,
    /// Write policy of the cache.
    pub policy: Option<WritePolicy>,
    /// Size of the cache.
    pub size: Option<CacheSize>,
    /// Size of a cache line.
    pub line: Option<CacheLine>,
}

/// `<size>` of a `<cache>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheSize {
    /// Size in bytes.
    pub bytes: u64,
}

/// `<line>` of a `<cache>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheLine {
    /// Size in bytes.
    pub bytes: u64,
}

/// `<interconnects>`: latencies and bandwidths between NUMA nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interconnects {
    /// Latencies of memory accesses.
    pub latencies: Vec<NumaLatency>,
    /// Bandwidths of memory accesses.
    pub bandwidths: Vec<NumaBandwidth>,
}

words! {
    /// The kind of memory access that a latency or bandwidth is for.
    pub enum HmatAccess {
        /// Reads and writes.
        Access = "access",
        /// Reads.
        Read = "read",
        /// Writes.
        Write = "write",
    }
}

/// The two ends of a latency or bandwidth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaPath {
    /// Source position of the element.
    pub span: SourceSpan,
    /// NUMA node of the CPU or device.
    pub initiator: u32,
    /// NUMA node of the memory.
    pub target: u32,
    /// Level of the memory-side cache, 1 to 3. If it is absent, the memory itself.
    pub cache: Option<u32>,
    /// Kind of access.
    pub kind: Option<HmatAccess>,
}

/// `<latency>`: the latency between two NUMA nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaLatency {
    /// Ends of the latency.
    pub path: NumaPath,
    /// Latency in nanoseconds.
    pub nanoseconds: u64,
}

/// `<bandwidth>`: the bandwidth between two NUMA nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaBandwidth {
    /// Ends of the bandwidth.
    pub path: NumaPath,
    /// Bandwidth in bytes per second.
    pub bytes: u64,
}

impl Numa {
    /// Returns the memory of all nodes in bytes.
    pub fn memory(&self) -> u64 {
        self.cells
            .iter()
            .map(|cell| cell.memory)
            .fold(0, u64::saturating_add)
    }

    /// Returns whether the guest has an HMAT: latencies, bandwidths or memory-side caches.
    pub fn has_hmat(&self) -> bool {
        self.interconnects.is_some() || self.cells.iter().any(|cell| !cell.caches.is_empty())
    }

    /// Returns the distance between two nodes, if either node gives one.
    pub fn distance(&self, from: u32, to: u32) -> Option<u32> {
        self.given_distance(from, to)
            .or_else(|| self.given_distance(to, from))
    }

    fn given_distance(&self, from: u32, to: u32) -> Option<u32> {
        let cell = self.cells.iter().find(|cell| cell.id == Some(from))?;
        let siblings = &cell.distances.as_ref()?.siblings;
        let sibling = siblings.iter().find(|sibling| sibling.id == to)?;
        Some(sibling.value)
    }
}

impl Element for Numa {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.children("cell", &mut self.cells);
        v.child("interconnects", &mut self.interconnects);
        if self.cells.is_empty() {
            v.error("<numa> needs a <cell>".into());
        }
    }
}

impl Element for NumaCell {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("id", &mut self.id);
        v.attr("cpus", &mut self.cpus);
        let mut memory = Some(self.memory).filter(|_| !v.reading());
        visit_amount(v, "memory", &mut memory);
        match memory {
            Some(memory) => self.memory = memory,
            None => v.error("<cell> needs the attribute 'memory'".into()),
        }

        v.attr("memAccess", &mut self.mem_access);
        v.yes_no("discard", &mut self.discard);
        v.child("distances", &mut self.distances);
        v.children("cache", &mut self.caches);
    }
}

impl Element for Distances {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("sibling", &mut self.siblings);
    }
}

impl Element for Sibling {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("id", &mut self.id);
        v.required("value", &mut self.value);
        if v.reading() && !(10..=255).contains(&self.value) {
            v.error(
                "'value' of <sibling> must be a distance from 10 (the node itself) to 255".into(),
            );
        }
    }
}

impl Element for CellCache {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("level", &mut self.level);
        v.attr("associativity", &mut self.associativity);
        v.attr("policy", &mut self.policy);
        v.child("size", &mut self.size);
        v.child("line", &mut self.line);
        if self.associativity.is_none() || self.policy.is_none() {
            v.error("<cache> needs the attributes 'associativity' and 'policy'".into());
        }
        if self.size.is_none() || self.line.is_none() {
            v.error("<cache> needs its <size> and the size of a <line>".into());
        }
        if v.reading() && !(1..=3).contains(&self.level) {
            v.error("'level' of <cache> must be from 1 to 3".into());
        }
    }
}

impl Element for CacheSize {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut bytes = Some(self.bytes).filter(|_| !v.reading());
        visit_amount(v, "value", &mut bytes);
        match bytes {
            Some(bytes) => self.bytes = bytes,
            None => v.error("<size> needs the attribute 'value'".into()),
        }
    }
}

/// The unit in which cache lines are written. The reader accepts any unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Byte(u64);

impl Value for Byte {
    fn read(text: &str) -> Result<Self, String> {
        crate::model::memory::unit_bytes(text).map(Self)
    }

    fn write(&self) -> String {
        "B".into()
    }
}

impl Element for CacheLine {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("value", &mut self.bytes);
        let mut unit = (!v.reading()).then_some(Byte(1));
        v.attr("unit", &mut unit);
        match self.bytes.checked_mul(unit.map_or(1024, |unit| unit.0)) {
            Some(bytes) if v.reading() => self.bytes = bytes,
            Some(_) => {}
            None => v.error("the size of the cache <line> is too large".into()),
        }
    }
}

impl Element for Interconnects {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("latency", &mut self.latencies);
        v.children("bandwidth", &mut self.bandwidths);
    }
}

impl NumaPath {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("initiator", &mut self.initiator);
        v.required("target", &mut self.target);
        v.attr("cache", &mut self.cache);
        v.attr("type", &mut self.kind);
        if self.kind.is_none() {
            v.error("the attribute 'type' is missing: expected 'access', 'read' or 'write'".into());
        }
        if v.reading() && self.cache == Some(0) {
            v.error(
                "'cache' must be from 1 to 3; leave it out to describe the memory itself".into(),
            );
        }
    }
}

impl Element for NumaLatency {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.path.visit(v);
        v.required("value", &mut self.nanoseconds);
    }
}

impl Element for NumaBandwidth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.path.visit(v);
        let mut bytes = Some(self.bytes).filter(|_| !v.reading());
        visit_amount(v, "value", &mut bytes);
        match bytes {
            Some(bytes) => self.bytes = bytes,
            None => v.error("<bandwidth> needs the attribute 'value'".into()),
        }
    }
}
