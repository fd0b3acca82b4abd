//! `<memory>` of `<devices>`: memory modules, and memory that comes and goes while the guest runs.

use super::Info;
use crate::model::idset::IdSet;
use crate::model::memory::Memory;
use crate::model::memory::MemoryAccess;
use crate::model::uuid::Uuid;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// Kind of memory device.
    pub enum MemoryModel {
        /// A module of ordinary memory.
        Dimm = "dimm",
        /// A module that keeps its contents, in a file of the host.
        Nvdimm = "nvdimm",
        /// The same as a virtio device.
        VirtioPmem = "virtio-pmem",
        /// Memory that grows and shrinks in blocks.
        VirtioMem = "virtio-mem",
        /// Pages of Intel's enclaves.
        SgxEpc = "sgx-epc",
    }
}

/// A memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryDevice {
    /// Alias and address.
    pub info: Info,
    /// Kind.
    pub model: Option<MemoryModel>,
    /// Whether other processes see what is written.
    pub access: Option<MemoryAccess>,
    /// Whether contents may be thrown away at the end.
    pub discard: Option<bool>,
    /// Identity of a module (Power).
    pub uuid: Option<Uuid>,
    /// What the memory is made of.
    pub source: Option<MemoryDeviceSource>,
    /// What the guest sees.
    pub target: MemoryTarget,
}

/// `<source>` of a memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryDeviceSource {
    /// The host's nodes that it comes from.
    pub nodemask: Option<IdSet>,
    /// Size of its pages.
    pub pagesize: Option<Memory>,
    /// File that keeps the contents.
    pub path: Option<String>,
    /// What its address in the emulator is a multiple of.
    pub alignsize: Option<Memory>,
    /// Whether the file is on memory that keeps its contents.
    pub pmem: bool,
}

/// `<target>` of a memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryTarget {
    /// Whether the memory is mapped piece by piece.
    pub dynamic_memslots: Option<bool>,
    /// Size; of `virtio-mem` the most that it can have.
    pub size: Memory,
    /// The guest's node that it belongs to.
    pub node: Option<u32>,
    /// The area for labels of a module that keeps its contents.
    pub label: Option<MemoryLabel>,
    /// Whether the guest can only read it.
    pub readonly: bool,
    /// What `virtio-mem` grows and shrinks by.
    pub block: Option<Memory>,
    /// What `virtio-mem` is to have.
    pub requested: Option<Memory>,
    /// What it has; only a running guest's description says it, and it has no effect.
    pub current: Option<Memory>,
    /// Where the memory of a virtio device is in the guest's.
    pub address: Option<MemoryBase>,
}

/// `<label>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryLabel {
    /// Its size.
    pub size: Option<Memory>,
}

/// `<address base=…/>` of a `<target>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryBase {
    /// An address in the guest's memory.
    pub base: Option<u64>,
}

impl MemoryDevice {
    /// Whether it is a module in a slot of the memory.
    pub const fn has_slot(&self) -> bool {
        matches!(self.model, Some(MemoryModel::Dimm | MemoryModel::Nvdimm))
    }

    /// Whether it is a virtio device.
    pub const fn is_virtio(&self) -> bool {
        matches!(
            self.model,
            Some(MemoryModel::VirtioMem | MemoryModel::VirtioPmem)
        )
    }
}

impl Element for MemoryDevice {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.attr("access", &mut self.access);
        v.yes_no("discard", &mut self.discard);
        v.leaf("uuid", &mut self.uuid);
        v.child("source", &mut self.source);
        let mut target = (!v.reading()).then(|| self.target.clone());
        v.child("target", &mut target);
        match target {
            Some(target) => self.target = target,
            None => v.error("<memory> of <devices> needs a <target> with its <size>".into()),
        }
        if self.model.is_none() {
            v.error("<memory> of <devices> needs the attribute 'model'".into());
        }
        self.info.visit(v);
    }
}

impl Element for MemoryDeviceSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("nodemask", &mut self.nodemask);
        v.child("pagesize", &mut self.pagesize);
        visit_as::<FilePath>(&mut self.path, |path| v.leaf("path", path));
        v.child("alignsize", &mut self.alignsize);
        v.flag("pmem", &mut self.pmem);
    }
}

impl Element for MemoryTarget {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("dynamicMemslots", &mut self.dynamic_memslots);
        let mut size = (!v.reading()).then_some(self.size);
        v.child("size", &mut size);
        match size {
            Some(size) if size.bytes() > 0 => self.size = size,
            _ => v.error("<target> of <memory> needs a <size> above zero".into()),
        }
        v.leaf("node", &mut self.node);
        v.child("label", &mut self.label);
        v.flag("readonly", &mut self.readonly);
        v.child("block", &mut self.block);
        v.child("requested", &mut self.requested);
        v.child("current", &mut self.current);
        v.child("address", &mut self.address);
    }
}

impl Element for MemoryLabel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("size", &mut self.size);
        if self.size.is_none() {
            v.error("<label> needs its <size>".into());
        }
    }
}

impl Element for MemoryBase {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut base = self.base.map(Hex::<u64, 1>);
        v.attr("base", &mut base);
        self.base = base.map(|base| base.0);
    }
}
