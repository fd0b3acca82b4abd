//! `<memory>`, `<currentMemory>`, `<memoryBacking>`: how much memory, and made of what.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// An amount of memory. It is kept in bytes and written in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory {
    bytes: u64,
    /// Whether it is left out of core dumps.
    pub dump_core: Option<bool>,
}

impl Memory {
    /// Makes an amount of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes, dump_core: None }
    }

    /// Returns the amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Returns the amount in KiB, a started one counted whole.
    pub const fn kib(self) -> u64 {
        self.bytes.div_ceil(1024)
    }
}

impl Element for Memory {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let (mut unit, mut number) = (Some(Unit::Kib), Some(self.kib()));
        if v.reading() {
            (unit, number) = (None, None);
        }
        v.attr("unit", &mut unit);
        v.on_off("dumpCore", &mut self.dump_core);
        v.text(&mut number);
        if v.reading() {
            let unit = unit.unwrap_or(Unit::Kib);
            match number.map(|n: u64| n.checked_mul(unit.bytes())) {
                Some(Some(bytes)) => self.bytes = bytes,
                Some(None) => v.error(format!("the amount is more than {} bytes", u64::MAX)),
                None => v.error("an amount of memory is needed".into()),
            }
        }
    }
}

/// The memory's unit, by libvirt's names: `KiB` and `k` are powers of two, `KB` is of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Kib,
    Bytes(u64),
}

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
        let expected = || "expected bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB or EiB".to_owned();
        let mut letters = lower.chars();
        let power = letters.next().and_then(|c| "kmgtpe".find(c)).ok_or_else(expected)?;
        let base: u64 = match letters.as_str() {
            "" | "ib" => 1024,
            "b" => 1000,
            _ => return Err(expected()),
        };
        let power = u32::try_from(power + 1).unwrap_or(1);
        Ok(if (base, power) == (1024, 1) { Self::Kib } else { Self::Bytes(base.pow(power)) })
    }

    fn write(&self) -> String {
        match self {
            Self::Kib => "KiB".into(),
            Self::Bytes(_) => "bytes".into(),
        }
    }
}

words! {
    /// Where the pages come from.
    pub enum MemorySource {
        /// Anonymous memory.
        Anonymous = "anonymous",
        /// A file in the guest's memory directory.
        File = "file",
        /// A memfd, which other processes can share.
        Memfd = "memfd",
    }
}

words! {
    /// When the pages are allocated.
    pub enum Allocation {
        /// Before the guest starts.
        Immediate = "immediate",
        /// When they are first touched.
        Ondemand = "ondemand",
    }
}

/// `<memoryBacking>`: what the guest's memory is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryBacking {
    /// Huge pages.
    pub hugepages: Option<Hugepages>,
    /// `<nosharepages/>`: not merged with equal pages (KSM).
    pub nosharepages: bool,
    /// `<locked/>`: never swapped out.
    pub locked: bool,
    /// Where the pages come from.
    pub source: Option<MemorySource>,
    /// Whether other processes see the memory (`<access mode='shared'/>`).
    pub access: Option<Access>,
    /// When and by how many threads pages are allocated.
    pub allocation: Option<AllocationMode>,
    /// `<discard/>`: contents may be thrown away at the end.
    pub discard: bool,
}

words! {
    /// Who sees what is written to the memory.
    pub enum Access {
        /// Other processes that map the same file.
        Shared = "shared",
        /// Only the guest.
        Private = "private",
    }
}

/// `<allocation>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllocationMode {
    /// When.
    pub mode: Option<Allocation>,
    /// By how many threads.
    pub threads: Option<u32>,
}

/// `<hugepages>`: huge pages of the default size, or of given sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hugepages {
    /// The sizes, each for some of the guest's NUMA nodes.
    pub pages: Vec<HugepageSize>,
}

/// `<page>` of `<hugepages>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HugepageSize {
    /// Size of a page.
    pub size: Memory,
    /// NUMA nodes of the guest that use it; all when absent.
    pub nodeset: Option<String>,
}

impl Element for MemoryBacking {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
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
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("mode", &mut self.mode);
        v.attr("threads", &mut self.threads);
    }
}

impl Element for Hugepages {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.children("page", &mut self.pages);
    }
}

impl Element for HugepageSize {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let (mut unit, mut number) = (Some(Unit::Kib), Some(self.size.kib()));
        if v.reading() {
            (unit, number) = (None, None);
        }
        v.attr("size", &mut number);
        v.attr("unit", &mut unit);
        v.attr("nodeset", &mut self.nodeset);
        if v.reading() {
            match number.and_then(|n: u64| n.checked_mul(unit.unwrap_or(Unit::Kib).bytes())) {
                Some(bytes) if bytes > 0 => self.size = Memory::from_bytes(bytes),
                _ => v.error("<page> needs a 'size' above zero".into()),
            }
        }
    }
}
