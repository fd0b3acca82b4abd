//! `<memory>` of `<devices>`: memory modules, and memory that can be hotplugged.

use super::Info;
use crate::model::idset::IdSet;
use crate::model::memory::Memory;
use crate::model::memory::MemoryAccess;
use crate::model::uuid::Uuid;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::{Hex, words};
use crate::xml::{Element, Visitor};

words! {
    /// The kind of a memory device.
    pub enum MemoryModel {
        /// A module of ordinary memory.
        Dimm = "dimm",
        /// A non-volatile module, backed by a file of the host.
        Nvdimm = "nvdimm",
        /// A non-volatile virtio device, backed by a file of the host.
        VirtioPmem = "virtio-pmem",
        /// A virtio device whose memory grows and shrinks in blocks.
        VirtioMem = "virtio-mem",
        /// Memory for enclaves (Intel SGX).
        SgxEpc = "sgx-epc",
    }
}

/// `<memory>`: a memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryDevice {
    /// Alias and address of the device.
    pub info: Info,
    /// Kind of the device.
    pub model: Option<MemoryModel>,
    /// Visibility to other processes.
    pub access: Option<MemoryAccess>,
    /// Permission to discard the contents when the guest ends.
    pub discard: Option<bool>,
    /// Identity of a module (Power).
    pub uuid: Option<Uuid>,
    /// Backing of the memory on the host.
    pub source: Option<MemoryDeviceSource>,
    /// Size and NUMA node of the memory in the guest.
    pub target: MemoryTarget,
}

/// `<source>` of a memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryDeviceSource {
    /// NUMA nodes of the host.
    pub nodemask: Option<IdSet>,
    /// Size of the host's pages.
    pub pagesize: Option<Memory>,
    /// Path of the file with the contents.
    pub path: Option<String>,
    /// Alignment of the mapping in the emulator.
    pub alignsize: Option<Memory>,
    /// True if the file is on persistent memory.
    pub pmem: bool,
}

/// `<target>` of a memory device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryTarget {
    /// Mapping in several pieces, only as far as needed.
    pub dynamic_memslots: Option<bool>,
    /// Size; for `virtio-mem` the largest size.
    pub size: Memory,
    /// NUMA node of the guest.
    pub node: Option<u32>,
    /// Label area of a non-volatile module.
    pub label: Option<MemoryLabel>,
    /// Protection from writes of the guest.
    pub readonly: bool,
    /// Block size of `virtio-mem`.
    pub block: Option<Memory>,
    /// Requested size of `virtio-mem`.
    pub requested: Option<Memory>,
    /// Current size of `virtio-mem` in a running guest; no effect.
    pub current: Option<Memory>,
    /// Address of the memory in the guest, for virtio devices.
    pub address: Option<MemoryBase>,
}

/// `<label>`: the label area of a non-volatile module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryLabel {
    /// Size of the label area.
    pub size: Option<Memory>,
}

/// `<address base=…/>` of a `<target>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryBase {
    /// Address in the guest's memory.
    pub base: Option<u64>,
}

impl MemoryDevice {
    /// Returns whether the device is a module in a memory slot.
    pub const fn has_slot(&self) -> bool {
        matches!(self.model, Some(MemoryModel::Dimm | MemoryModel::Nvdimm))
    }

    /// Returns whether the device is a virtio device.
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
