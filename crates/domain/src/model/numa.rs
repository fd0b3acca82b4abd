//! `<numa>` of `<cpu>`: the NUMA nodes of the guest, how far they are from one another, their
//! caches.

use crate::model::idset::IdSet;
use crate::model::memory::{MemoryAccess, visit_amount};
use crate::xml::span::SourceSpan;
use crate::xml::value::{Value, words};
use crate::xml::{Element, Visitor};

/// `<numa>`: the guest's nodes, and how fast memory is from each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numa {
    /// Where the element stands.
    pub span: SourceSpan,
    /// The nodes. `complete` numbers and sorts them.
    pub cells: Vec<NumaCell>,
    /// Latencies and bandwidths (ACPI's HMAT).
    pub interconnects: Option<Interconnects>,
}

/// `<cell>`: a NUMA node of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaCell {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Number of the node.
    pub id: Option<u32>,
    /// Its CPUs; none for a node of memory alone.
    pub cpus: Option<IdSet>,
    /// Its memory, in bytes.
    pub memory: u64,
    /// Whether other processes see the memory.
    pub mem_access: Option<MemoryAccess>,
    /// Whether contents may be thrown away at the end.
    pub discard: Option<bool>,
    /// Distances to other nodes.
    pub distances: Option<Distances>,
    /// Caches before its memory.
    pub caches: Vec<CellCache>,
}

/// `<distances>` of a `<cell>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// One for each other node that is said.
    pub siblings: Vec<Sibling>,
}

/// `<sibling>`: how far another node is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sibling {
    /// Where the element stands.
    pub span: SourceSpan,
    /// The other node.
    pub id: u32,
    /// How far: 10 is the node itself, 20 the usual one, 255 unreachable.
    pub value: u32,
}

words! {
    /// How memory finds its place in a cache.
    pub enum Associativity {
        /// Not said.
        None = "none",
        /// It has one place.
        Direct = "direct",
        /// It has any place.
        Full = "full",
    }
}

words! {
    /// What happens when a cached place is written.
    pub enum WritePolicy {
        /// Not said.
        None = "none",
        /// It is written to memory later.
        Writeback = "writeback",
        /// It is written to memory at once.
        Writethrough = "writethrough",
    }
}

/// `<cache>` of a `<cell>`: a cache between CPUs and the node's memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellCache {
    /// Level, 1 to 3.
    pub level: u32,
    /// How memory finds its place.
    pub associativity: Option<Associativity>,
    /// When memory is written.
    pub policy: Option<WritePolicy>,
    /// Size.
    pub size: Option<CacheSize>,
    /// Size of a line.
    pub line: Option<CacheLine>,
}

/// `<size>` of a `<cache>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheSize {
    /// In bytes.
    pub bytes: u64,
}

/// `<line>` of a `<cache>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheLine {
    /// In bytes.
    pub bytes: u64,
}

/// `<interconnects>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interconnects {
    /// How long an access takes.
    pub latencies: Vec<NumaLatency>,
    /// How much goes through.
    pub bandwidths: Vec<NumaBandwidth>,
}

words! {
    /// Kind of access to memory.
    pub enum HmatAccess {
        /// Reading and writing.
        Access = "access",
        /// Reading.
        Read = "read",
        /// Writing.
        Write = "write",
    }
}

/// From where to where a latency or bandwidth is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaPath {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Node of the CPU or device.
    pub initiator: u32,
    /// Node of the memory.
    pub target: u32,
    /// Level of the cache that answers; the memory itself when absent.
    pub cache: Option<u32>,
    /// Kind of access.
    pub kind: Option<HmatAccess>,
}

/// `<latency>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaLatency {
    /// From where to where.
    pub path: NumaPath,
    /// In nanoseconds.
    pub nanoseconds: u64,
}

/// `<bandwidth>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumaBandwidth {
    /// From where to where.
    pub path: NumaPath,
    /// In bytes a second.
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

    /// Whether the guest is told of latencies, bandwidths or caches.
    pub fn has_hmat(&self) -> bool {
        self.interconnects.is_some() || self.cells.iter().any(|cell| !cell.caches.is_empty())
    }

    /// Returns the distance between two nodes, by their numbers, as said from either side.
    pub fn distance(&self, from: u32, to: u32) -> Option<u32> {
        let said = |from: u32, to: u32| {
            let cell = self.cells.iter().find(|cell| cell.id == Some(from))?;
            let mut siblings = cell.distances.iter().flat_map(|d| &d.siblings);
            siblings
                .find(|sibling| sibling.id == to)
                .map(|sibling| sibling.value)
        };
        said(from, to).or_else(|| said(to, from))
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

/// The unit that lines are written in. They are read in any.
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
