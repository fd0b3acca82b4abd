//! Memory backends (`-object memory-backend-…`): the objects of which the guest's memory consists.

use passthru_domain::device::{MemoryDevice, MemoryModel};
use passthru_domain::memory::{
    Allocation, HugepageSize, MemoryAccess, MemoryBacking, MemorySource,
};
use passthru_domain::numa::NumaCell;
use passthru_domain::numatune::MemoryMode;
use passthru_domain::{IdSet, Memory};

use crate::context::Context;
use crate::line::{Object, Opt, Term, Want, WantKind};

const MIB: u64 = 1 << 20;
/// Size of an ordinary page. `<hugepages>` of this size means no huge pages.
const PAGE: u64 = 4096;
/// Size of a huge page if the domain names none: the default of most hosts.
const USUAL_HUGE_PAGE: u64 = 2 * MIB;

/// A range of the guest's memory that has a backend of its own.
pub(crate) struct MemoryRange<'a> {
    /// Id of the backend.
    pub(crate) id: String,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// The guest's NUMA node of the memory.
    pub(crate) cell: Option<&'a NumaCell>,
    /// The memory device of the memory.
    pub(crate) device: Option<&'a MemoryDevice>,
}

/// The options of a backend.
pub(crate) struct Backend {
    /// The options; the backend is the last.
    pub(crate) options: Vec<Opt>,
    /// Whether all memory is allocated at the start.
    pub(crate) prealloc: bool,
}

impl<'a> MemoryRange<'a> {
    /// Makes the backend.
    pub(crate) fn backend(&self, context: &Context<'_>) -> Backend {
        let unsaid = MemoryBacking::default();
        let backing = context.domain.memory_backing.as_ref().unwrap_or(&unsaid);
        let prealloc = self.is_allocated_now(backing);
        // A virtio-mem device allocates its memory by itself.
        let now = prealloc && !self.is_virtio_mem();
        let nodes = self.host_nodes(context);
        let threads = backing
            .allocation
            .as_ref()
            .and_then(|allocation| allocation.threads);
        let before = nodes
            .as_ref()
            .filter(|_| now)
            .and_then(|(_, nodes)| context.nodes_to_run_on(nodes));
        let helper = before.as_ref().map(|_| format!("tc-{}", self.id));
        let object = self
            .made_of(context, backing)
            .maybe("reserve", self.is_virtio_mem().then_some(false))
            .maybe("prealloc", now.then_some(true))
            .maybe("prealloc-threads", threads.filter(|_| now))
            .with("size", self.bytes)
            .maybe(
                "host-nodes",
                nodes.as_ref().map(|(_, nodes)| numbers(nodes)),
            )
            .maybe("policy", nodes.map(|(policy, _)| policy))
            .and(self.of_nvdimm())
            .maybe("prealloc-context", helper.clone());
        let helper = helper.zip(before).map(|(id, nodes)| {
            Opt::object(Object::qom("thread-context", id).with("node-affinity", numbers(&nodes)))
        });
        Backend {
            options: helper.into_iter().chain([Opt::object(object)]).collect(),
            prealloc,
        }
    }

    /// Makes the backend of an enclave (SGX), which has a type of its own.
    pub(crate) fn enclave(&self, context: &Context<'_>) -> Opt {
        let nodes = self.host_nodes(context);
        Opt::object(
            Object::qom("memory-backend-epc", self.id.as_str())
                .with("prealloc", true)
                .with("size", self.bytes)
                .maybe(
                    "host-nodes",
                    nodes.as_ref().map(|(_, nodes)| numbers(nodes)),
                )
                .maybe("policy", nodes.map(|(policy, _)| policy)),
        )
    }

    /// Returns the type of the object, and the source of its pages.
    fn made_of(&self, context: &Context<'_>, backing: &MemoryBacking) -> Object {
        let shared = self.shared(backing);
        let canonical = (!self.is_part()).then_some(false);
        if let Some(path) = self.device.and_then(path) {
            let discard = self.device.and_then(|device| device.discard);
            return Object::qom("memory-backend-file", self.id.as_str())
                .with("mem-path", path)
                .maybe("discard-data", discard)
                .maybe("share", shared);
        }

        let huge = self.huge_page(backing);
        if backing.source == Some(MemorySource::Memfd) {
            return Object::qom("memory-backend-memfd", self.id.as_str())
                .maybe("hugetlb", huge.map(|_| true))
                .maybe("hugetlbsize", huge)
                .maybe("share", shared)
                .maybe("x-use-canonical-path-for-ramblock-id", canonical);
        }

        if huge.is_some() || shared.is_some() || backing.source == Some(MemorySource::File) {
            return Object::qom("memory-backend-file", self.id.as_str())
                .with("mem-path", self.folder(context, huge))
                .maybe("discard-data", self.discard(backing))
                .maybe("share", shared)
                .maybe("x-use-canonical-path-for-ramblock-id", canonical);
        }

        Object::qom("memory-backend-ram", self.id.as_str())
    }

    /// Returns whether the range is the memory of a node or a device, not all of the guest's.
    const fn is_part(&self) -> bool {
        self.cell.is_some() || self.device.is_some()
    }

    fn is_virtio_mem(&self) -> bool {
        self.device
            .is_some_and(|device| device.model == Some(MemoryModel::VirtioMem))
    }

    /// Returns the properties of a file that keeps its contents (NVDIMM).
    fn of_nvdimm(&self) -> Object {
        let Some(source) = self.device.and_then(|device| device.source.as_ref()) else {
            return Object::default();
        };
        Object::default()
            .maybe("align", source.alignsize.map(Memory::bytes))
            .maybe("pmem", source.pmem.then_some(true))
    }

    fn shared(&self, backing: &MemoryBacking) -> Option<bool> {
        let of_device = self.device.and_then(|device| device.access);
        let of_cell = self.cell.and_then(|cell| cell.mem_access);
        of_device
            .or(of_cell)
            .or(backing.access)
            .map(|access| access == MemoryAccess::Shared)
    }

    fn discard(&self, backing: &MemoryBacking) -> Option<bool> {
        let of_device = self.device.and_then(|device| device.discard);
        let of_cell = self.cell.and_then(|cell| cell.discard);
        of_device.or(of_cell).or(backing.discard.then_some(true))
    }

    fn is_allocated_now(&self, backing: &MemoryBacking) -> bool {
        let immediate = backing
            .allocation
            .as_ref()
            .and_then(|allocation| allocation.mode)
            == Some(Allocation::Immediate);
        let kept = self.device.is_some_and(is_filled_by_prealloc);
        immediate || kept || self.huge_page(backing).is_some()
    }

    /// Returns the size of the huge pages: that of the device, of the node, or of the guest.
    fn huge_page(&self, backing: &MemoryBacking) -> Option<u64> {
        if self.device.is_some_and(|device| path(device).is_some()) {
            return None;
        }
        let source = self.device.and_then(|device| device.source.as_ref());
        if let Some(said) = source.and_then(|source| source.pagesize) {
            return Some(said.bytes()).filter(|bytes| *bytes != PAGE);
        }
        let pages = &backing.hugepages.as_ref()?.pages;
        if pages.is_empty() {
            return Some(USUAL_HUGE_PAGE);
        }
        let node = self.cell.map_or(Some(0), |cell| cell.id);
        let of_node = pages.iter().find(|page| is_for_node(page, node));
        let page = of_node.or_else(|| pages.iter().find(|page| page.nodeset.is_none()))?;
        Some(page.size.bytes()).filter(|bytes| *bytes != PAGE)
    }

    /// Returns the folder of a file backend's file: a file system of huge pages, or the guest's
    /// folder. A standalone line uses only folders that exist on every host.
    fn folder(&self, context: &Context<'_>, huge: Option<u64>) -> Want {
        let path = match huge.map(mount) {
            Some(mount) if context.is_standalone() => mount,
            None if context.is_standalone() => "/dev/shm".into(),
            Some(mount) => format!("{mount}/passthru/{}", context.name()),
            None => context.state_path(&self.id),
        };
        Want {
            name: format!("{}-folder", self.id),
            kind: WantKind::Folder { path },
        }
    }

    /// Returns the policy, and the host's nodes that the memory is allocated on.
    fn host_nodes(&self, context: &Context<'_>) -> Option<(&'static str, IdSet)> {
        let numatune = context.domain.numatune.as_ref();
        let node = self
            .cell
            .and_then(|cell| cell.id)
            .or(self.device.and_then(|device| device.target.node));
        let tuned = numatune.and_then(|tune| tune.for_node(node));
        let own = self
            .device
            .and_then(|device| device.source.as_ref()?.nodemask.clone());
        let mode = tuned.map_or(MemoryMode::Strict, |(mode, _)| mode);
        let nodes = own.or_else(|| tuned.map(|(_, nodes)| nodes.clone()))?;
        let policy = match mode {
            MemoryMode::Strict => "bind",
            MemoryMode::Preferred => "preferred",
            MemoryMode::Interleave => "interleave",
            MemoryMode::Restrictive => return None,
        };
        Some((policy, nodes))
    }
}

/// Returns whether an entry of `<hugepages>` names a node.
fn is_for_node(page: &HugepageSize, node: Option<u32>) -> bool {
    let Some((set, node)) = page.nodeset.as_ref().zip(node) else {
        return false;
    };
    set.contains(node)
}

/// Returns whether the file of a memory device is allocated at the start. Persistent memory
/// (`<pmem/>`) is there already: allocation would only wear it. Nor does a virtio-pmem need it.
fn is_filled_by_prealloc(device: &MemoryDevice) -> bool {
    let is_pmem = device.source.as_ref().is_some_and(|source| source.pmem);
    device.model == Some(MemoryModel::Nvdimm) && path(device).is_some() && !is_pmem
}

/// Returns the file that a memory device keeps its contents in.
fn path(device: &MemoryDevice) -> Option<&str> {
    device.source.as_ref()?.path.as_deref()
}

fn numbers(nodes: &IdSet) -> Term {
    Term::Array(nodes.iter().map(|node| Term::Number(node.into())).collect())
}

/// Returns the usual mount point of huge pages of a size.
fn mount(bytes: u64) -> String {
    match bytes {
        USUAL_HUGE_PAGE => "/dev/hugepages".into(),
        bytes if bytes % (1 << 30) == 0 => format!("/dev/hugepages{}G", bytes >> 30),
        bytes if bytes % MIB == 0 => format!("/dev/hugepages{}M", bytes / MIB),
        bytes => format!("/dev/hugepages{}K", bytes / 1024),
    }
}
