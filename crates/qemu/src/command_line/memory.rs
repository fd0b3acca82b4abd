//! The guest's memory: `-m`, its backend, `-overcommit`.

use super::opt::{List, Object, Opt};
use super::want::{Want, What};
use super::{Context, Error};
use passthru_domain::{Allocation, Board, Memory, MemoryBacking, MemorySource};

const MIB: u64 = 1 << 20;
const TWO_MIB: u64 = 2 * MIB;
/// Size of an ordinary page: `<hugepages>` of that size are none.
const PAGE: u64 = 4096;

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let bytes = size(context);
    let size = Opt::list("-m", List::headless().with("size", format!("{}k", bytes / 1024)));
    let backing = context.domain.memory_backing.clone().unwrap_or_default();
    let backend = ram_id(context).map(|id| backend(context, &backing, id, bytes));
    let lock = Opt::list("-overcommit", List::headless().with("mem-lock", backing.locked));
    Ok([Some(size), backend, Some(lock)].into_iter().flatten().collect())
}

/// Id of the machine's RAM, by which it takes its backend.
pub(super) fn ram_id(context: &Context<'_>) -> Option<&'static str> {
    match context.board() {
        Board::I440fx | Board::Q35 | Board::Isapc => Some("pc.ram"),
        Board::Microvm => Some("microvm.ram"),
        Board::Virt => Some("mach-virt.ram"),
        Board::S390Ccw => Some("s390.ram"),
        Board::Other => None,
    }
}

/// Whole mebibytes: QEMU takes no others.
fn size(context: &Context<'_>) -> u64 {
    context.domain.memory.map_or(0, Memory::bytes).div_ceil(MIB) * MIB
}

fn backend(context: &Context<'_>, backing: &MemoryBacking, id: &'static str, bytes: u64) -> Opt {
    let huge = huge_page(backing);
    let shared = backing.access.map(|access| access.as_str() == "shared");
    let is_file = huge.is_some() || shared.is_some() || backing.source == Some(MemorySource::File);
    let object = match backing.source {
        Some(MemorySource::Memfd) => memfd(id, huge),
        _ if is_file => Object::qom("memory-backend-file", id).with("mem-path", folder(context, id, huge)),
        _ => Object::qom("memory-backend-ram", id),
    };
    let by_name = is_file || backing.source == Some(MemorySource::Memfd);
    let now = huge.is_some() || is_immediate(backing);
    let threads = backing.allocation.as_ref().and_then(|allocation| allocation.threads);
    let object = object
        .maybe("discard-data", (is_file && backing.discard).then_some(true))
        .maybe("share", shared)
        .maybe("x-use-canonical-path-for-ramblock-id", by_name.then_some(false))
        .maybe("prealloc", now.then_some(true))
        .maybe("prealloc-threads", threads)
        .with("size", bytes);
    Opt::object(object)
}

fn memfd(id: &str, huge: Option<HugePage>) -> Object {
    let size = huge.and_then(|huge| huge.bytes);
    Object::qom("memory-backend-memfd", id).maybe("hugetlb", huge.map(|_| true)).maybe("hugetlbsize", size)
}

/// Where a file backend makes its file: in a file system of huge pages, or in the guest's folder. A line
/// that is run as it is has only folders that are there.
fn folder(context: &Context<'_>, id: &str, huge: Option<HugePage>) -> Want {
    let path = match huge {
        Some(huge) if context.is_standalone() => huge.mount(),
        None if context.is_standalone() => "/dev/shm".into(),
        Some(huge) => format!("{}/passthru/{}", huge.mount(), context.name()),
        None => context.state_path(id),
    };
    Want { name: format!("{id}-folder"), what: What::Folder { path } }
}

/// The size of huge page that the guest's memory is of; the host's default where none is said.
#[derive(Clone, Copy)]
struct HugePage {
    bytes: Option<u64>,
}

impl HugePage {
    /// Where pages of that size are mounted by custom: the default size, 2 MiB on most hosts, is at
    /// `/dev/hugepages`.
    fn mount(self) -> String {
        match self.bytes {
            None | Some(TWO_MIB) => "/dev/hugepages".into(),
            Some(bytes) if bytes % (1 << 30) == 0 => format!("/dev/hugepages{}G", bytes >> 30),
            Some(bytes) if bytes % MIB == 0 => format!("/dev/hugepages{}M", bytes / MIB),
            Some(bytes) => format!("/dev/hugepages{}K", bytes / 1024),
        }
    }
}

/// A page size given for single NUMA nodes is none for the whole guest.
fn huge_page(backing: &MemoryBacking) -> Option<HugePage> {
    let pages = &backing.hugepages.as_ref()?.pages;
    if pages.is_empty() {
        return Some(HugePage { bytes: None });
    }
    let whole = pages.iter().find(|page| page.nodeset.is_none()).or(pages.first())?;
    let bytes = whole.size.bytes();
    (bytes != PAGE).then_some(HugePage { bytes: Some(bytes) })
}

fn is_immediate(backing: &MemoryBacking) -> bool {
    backing.allocation.as_ref().and_then(|allocation| allocation.mode) == Some(Allocation::Immediate)
}
