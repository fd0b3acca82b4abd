//! `<memory>`, `<currentMemory>`, `<memoryBacking>`: amount and backing of the memory.

use crate::model::idset::IdSet;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// An amount of memory. The unit is bytes; documents are written in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory {
    bytes: u64,
    /// Inclusion in core dumps of the emulator.
    pub dump_core: Option<bool>,
}

impl Memory {
    /// Creates an amount from a number of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self {
            bytes,
            dump_core: None,
        }
    }

    /// Returns the amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Returns the amount in KiB, rounded up.
    pub const fn kib(self) -> u64 {
        self.bytes.div_ceil(1024)
    }
}

impl Element for Memory {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("dumpCore", &mut self.dump_core);
        visit_text(v, &mut self.bytes);
    }
}

/// Visits an amount that is the element's text, with its `unit`. The writer uses KiB; the reader
/// assumes KiB if the unit is absent.
fn visit_text(v: &mut dyn Visitor, slot: &mut u64) {
    let mut unit = (!v.reading()).then_some(Unit::Kib);
    let mut number = (!v.reading()).then(|| slot.div_ceil(1024));
    v.attr("unit", &mut unit);
    v.text(&mut number);
    if v.reading() {
        match number.map(|number| bytes(number, unit)) {
            Some(Some(bytes)) => *slot = bytes,
            Some(None) => v.error(format!("the amount is more than {} bytes", u64::MAX)),
            None => v.error("expected an amount of memory".into()),
        }
    }
}

/// Visits an amount in bytes that is an attribute, with its `unit` beside it.
pub(crate) fn visit_amount(v: &mut dyn Visitor, name: &'static str, slot: &mut Option<u64>) {
    let mut number = slot
        .filter(|_| !v.reading())
        .map(|bytes| bytes.div_ceil(1024));
    let mut unit = number.map(|_| Unit::Kib);
    v.attr(name, &mut number);
    v.attr("unit", &mut unit);
    if v.reading() {
        match number.map(|number| bytes(number, unit)) {
            Some(None) => v.error(format!("'{name}' is more than {} bytes", u64::MAX)),
            amount => *slot = amount.flatten(),
        }
    }
}

fn bytes(number: u64, unit: Option<Unit>) -> Option<u64> {
    number.checked_mul(unit.unwrap_or(Unit::Kib).bytes())
}

/// Returns the number of bytes of a unit.
pub(crate) fn unit_bytes(text: &str) -> Result<u64, String> {
    <Unit as crate::xml::value::Value>::read(text).map(Unit::bytes)
}

/// `<maxMemory>`: the largest amount of memory with hotplugged modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxMemory {
    /// Number of slots for memory modules.
    pub slots: Option<u32>,
    bytes: u64,
}

impl MaxMemory {
    /// Returns the amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }
}

impl Element for MaxMemory {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("slots", &mut self.slots);
        visit_text(v, &mut self.bytes);
    }
}

/// A unit of memory, by libvirt's names: `KiB` and `k` are 1024 bytes, `KB` is 1000 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Kib,
    Bytes(u64),
}

const EXPECTED_UNIT: &str =
    "expected bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB or EiB";

impl Unit {
    const fn bytes(self) -> u64 {
        match self {
            Self::Kib => 1024,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl crate::xml::value::Value for Unit {
    fn read(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if matches!(lower.as_str(), "b" | "byte" | "bytes") {
            return Ok(Self::Bytes(1));
        }
        let mut letters = lower.chars();
        let power = letters
            .next()
            .and_then(|letter| "kmgtpe".find(letter))
            .ok_or(EXPECTED_UNIT)?;
        let base: u64 = match letters.as_str() {
            "" | "ib" => 1024,
            "b" => 1000,
            _ => return Err(EXPECTED_UNIT.into()),
        };
        let power = u32::try_from(power + 1).unwrap_or(1);
        Ok(if (base, power) == (1024, 1) {
            Self::Kib
        } else {
            Self::Bytes(base.pow(power))
        })
    }

    fn write(&self) -> String {
        match self {
            Self::Kib => "KiB".into(),
            Self::Bytes(_) => "bytes".into(),
        }
    }
}

words! {
    /// The origin of the memory's pages.
    pub enum MemorySource {
        /// Anonymous memory.
        Anonymous = "anonymous",
        /// A file in the guest's memory directory.
        File = "file",
        /// A memfd, which other processes can map.
        Memfd = "memfd",
    }
}

words! {
    /// The time at which the pages are allocated.
    pub enum Allocation {
        /// Before the guest starts.
        Immediate = "immediate",
        /// At the first access.
        Ondemand = "ondemand",
    }
}

/// `<memoryBacking>`: the backing of the guest's memory on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryBacking {
    /// Huge pages.
    pub hugepages: Option<Hugepages>,
    /// `<nosharepages/>`: pages are not merged with equal pages (KSM).
    pub nosharepages: bool,
    /// `<locked/>`: pages are never swapped out.
    pub locked: bool,
    /// Origin of the pages.
    pub source: Option<MemorySource>,
    /// Visibility to other processes (`<access mode='shared'/>`).
    pub access: Option<MemoryAccess>,
    /// Time of the allocation, and number of threads for it.
    pub allocation: Option<AllocationMode>,
    /// `<discard/>`: the contents may be discarded when the guest ends.
    pub discard: bool,
}

words! {
    /// The visibility of memory to other processes.
    pub enum MemoryAccess {
        /// Writes are visible to processes that map the same file.
        Shared = "shared",
        /// Writes are visible to the guest only.
        Private = "private",
    }
}

/// `<allocation>`: the allocation of the pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllocationMode {
    /// Time of the allocation.
    pub mode: Option<Allocation>,
    /// Number of threads for the allocation.
    pub threads: Option<u32>,
}

/// `<hugepages>`: huge pages of the default size, or of given sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hugepages {
    /// Sizes of huge pages, each for some NUMA nodes of the guest.
    pub pages: Vec<HugepageSize>,
}

/// `<page>` of `<hugepages>`: huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HugepageSize {
    /// Size of a page.
    pub size: Memory,
    /// NUMA nodes of the guest with these pages. If it is absent, all nodes.
    pub nodeset: Option<IdSet>,
}

impl Element for MemoryBacking {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("hugepages", &mut self.hugepages);
        v.flag("nosharepages", &mut self.nosharepages);
        v.flag("locked", &mut self.locked);
        v.child_word("source", "type", &mut self.source);
        v.child_word("access", "mode", &mut self.access);
        v.child("allocation", &mut self.allocation);
        v.flag("discard", &mut self.discard);
    }
}

impl Element for AllocationMode {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        v.attr("threads", &mut self.threads);
    }
}

impl Element for Hugepages {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("page", &mut self.pages);
    }
}

impl Element for HugepageSize {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut size = Some(self.size.bytes()).filter(|_| !v.reading());
        visit_amount(v, "size", &mut size);
        v.attr("nodeset", &mut self.nodeset);
        match size {
            Some(bytes) if bytes > 0 => self.size = Memory::from_bytes(bytes),
            _ => v.error("<page> needs a 'size' above zero".into()),
        }
    }
}
