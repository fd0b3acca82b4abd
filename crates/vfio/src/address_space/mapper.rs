//! [`Mapper`]: maps large memory from several threads.
//!
//! First all threads have the kernel make the pages, and only then all map: while one thread faults
//! pages in, another one that maps would wait for the same lock of the process (and hold it up), so
//! that both together take as long as one. What is mapped by its file is faulted in by nobody, and
//! is mapped at once.
#![allow(unsafe_code)]

use super::member::{self, Piece};
use super::note::Noted;
use super::parts::Parts;
use super::source::Source;
use super::{Error, Memory, Pages, Span, Why};
use crate::container::{self, Backend, Dma};
use rustix::io::Errno;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, RwLock, mpsc};
use std::thread;

/// How memory is mapped: by how many threads.
///
/// Several threads first populate what is mapped by its address (`MADV_POPULATE_WRITE`), and only
/// then map it; on type1, which pins under one lock, one of them maps. What is mapped by its file
/// they map at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapper {
    threads: NonZeroUsize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes that there are to do.
    pub total: u64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The kernel makes the pages.
    Populate,
    /// The pages are mapped, and pinned where a device is attached.
    Map,
}

/// A function that is told how far it is, from any of the threads, and can end it. It calls neither
/// the address space nor the one that it is over or shares with: they are locked meanwhile.
pub type OnProgress<'a> = dyn Fn(Progress) -> ControlFlow<()> + Sync + 'a;

/// A piece that is to be mapped.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) piece: Piece,
    /// Where the memory is mapped already, and why it is copied from there at once: otherwise only
    /// where it cannot be pinned again.
    pub(super) source: Option<(Source, Option<Why>)>,
    /// What the kernel said; nothing where it was not asked.
    pub(super) answer: OnceLock<Result<Way, container::Error>>,
}

/// How a piece was mapped.
#[derive(Debug)]
pub(super) enum Way {
    Pinned,
    Shared(Why),
    /// Pinned, since sharing was refused.
    PinnedAgain(container::Error),
}

const MOST_THREADS: usize = 16;
const HUGE: u64 = 2 << 20;
const PIECES_OF_EACH: u64 = 4;
const SMALLEST_PIECE: u64 = 64 << 20;
const LARGEST_PIECE: u64 = 1 << 30;
const POPULATED_AT_ONCE: u64 = 8 << 20;

impl Default for Mapper {
    /// As many threads as the process may use processors, 16 at most.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::new(threads.min(NonZeroUsize::new(MOST_THREADS).unwrap_or(NonZeroUsize::MIN)))
    }
}

impl Mapper {
    /// Maps by this many threads; by 1, memory is not populated before.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads }
    }

    /// Returns how many threads map.
    pub fn threads(self) -> usize {
        self.threads.get()
    }

    /// How many threads are worth to be begun for so many bytes.
    fn worth(self, bytes: u64) -> usize {
        let shares = bytes.div_ceil(SMALLEST_PIECE);
        self.threads()
            .min(usize::try_from(shares).unwrap_or(usize::MAX))
    }

    /// Cuts a span on the borders of huge pages, so that each thread gets some of it, several
    /// times: what one of them is slower by, the others take over.
    pub(super) fn cut(self, span: Span, pages: Pages) -> Vec<Span> {
        let border = if let Pages::Huge(size) = pages {
            size.max(HUGE)
        } else {
            HUGE
        };
        let share = span.length() / (PIECES_OF_EACH * self.threads() as u64);
        let size = if self.threads() == 1 {
            LARGEST_PIECE
        } else {
            share.clamp(SMALLEST_PIECE, LARGEST_PIECE)
        };
        cut(span, size.next_multiple_of(border))
    }

    /// Has the pages of parts of memories made, by all threads.
    pub(super) fn populate(self, parts: Parts, on_progress: &OnProgress<'_>) -> Result<(), Error> {
        if self.threads() == 1 {
            return Ok(());
        }
        let parts: Vec<_> = parts
            .into_iter()
            .flat_map(|(memory, range)| populated(memory, range))
            .collect();
        let count = Count::new(
            Phase::Populate,
            parts.iter().map(|(_, part)| part.length()).sum(),
            on_progress,
        );
        each(self.worth(count.total), &parts, |(memory, part)| {
            memory.populate(part.start(), part.length());
            count.add(part.length())
        });
        count.result()
    }

    /// Maps all of it, until one that must be mapped fails.
    ///
    /// # Safety
    /// All pieces are recorded in the container's member, until they are unmapped or their answer
    /// is none or an error.
    pub(super) unsafe fn map(
        self,
        dma: &dyn Dma,
        jobs: &[Job],
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        let count = Count::new(
            Phase::Map,
            jobs.iter().map(|job| job.piece.span.length()).sum(),
            on_progress,
        );
        // type1 pins under one lock: more threads would only wait.
        let is_type1 = dma.capabilities().backend == Backend::Type1;
        let threads = if is_type1 { 1 } else { self.worth(count.total) };
        each(threads, jobs, |job| {
            // SAFETY: by this function's contract.
            let answer = job.answer.get_or_init(|| unsafe { job.map(dma) });
            match answer {
                Err(_) if job.piece.must => ControlFlow::Break(()),
                _ => count.add(job.piece.span.length()),
            }
        });
        count.result()
    }
}

impl Job {
    pub(super) fn new(piece: Piece) -> Self {
        Self {
            piece,
            source: None,
            answer: OnceLock::new(),
        }
    }

    /// Says how it was mapped.
    ///
    /// # Safety
    /// As [`member::map`].
    unsafe fn map(&self, dma: &dyn Dma) -> Result<Way, container::Error> {
        // SAFETY: the caller's contract is the same.
        let pin = || unsafe { member::map(dma, &self.piece) };
        // SAFETY: the caller's contract is the same; a source is a recorded mapping of the memory.
        let copy = |source| unsafe { member::copy(dma, &self.piece, source) };
        let settled = |refusal: &_| member::settle(dma, self.piece.span, refusal);
        match &self.source {
            None => pin().map(|()| Way::Pinned),
            Some((source, Some(why))) => match copy(source) {
                Ok(()) => Ok(Way::Shared(*why)),
                Err(refusal) if settled(&refusal) => pin().map(|()| Way::PinnedAgain(refusal)),
                Err(refusal) => Err(refusal),
            },
            Some((source, None)) => match pin() {
                Err(error) if is_out_of_memory(&error) => match copy(source) {
                    Err(refusal) if settled(&refusal) => Err(error),
                    answer => answer.map(|()| Way::Shared(Why::Refused)),
                },
                answer => answer.map(|()| Way::Pinned),
            },
        }
    }
}

impl Way {
    /// What is to be noted of it.
    pub(super) fn noted(self) -> Option<Noted> {
        match self {
            Self::Pinned => None,
            Self::Shared(why) => Some(Noted::Shared(why)),
            Self::PinnedAgain(error) => Some(Noted::PinnedAgain(error)),
        }
    }
}

fn is_out_of_memory(error: &container::Error) -> bool {
    error.io().and_then(Errno::from_io_error) == Some(Errno::NOMEM)
}

/// The parts, by their offsets, in which memory is populated: small ones, so that all threads end
/// at the same time, and whoever else needs the lock of the process's memory meanwhile waits for
/// one of them only; but no part of a page.
fn populated(memory: Arc<Memory>, range: Range<u64>) -> impl Iterator<Item = (Arc<Memory>, Span)> {
    let page = if let Pages::Huge(size) = memory.pages() {
        size
    } else {
        0
    };
    let parts =
        Span::between(range.start, range.end).map(|part| cut(part, page.max(POPULATED_AT_ONCE)));
    parts
        .into_iter()
        .flatten()
        .map(move |part| (Arc::clone(&memory), part))
}

/// Cuts a span at the multiples of `size`.
fn cut(span: Span, size: u64) -> Vec<Span> {
    let mut cuts = Vec::new();
    let mut start = span.start();
    while let Some(next) = (start / size + 1)
        .checked_mul(size)
        .filter(|next| *next <= span.last())
    {
        cuts.extend(Span::between(start, next));
        start = next;
    }
    cuts.extend(Span::new(start, span.last() - start + 1));
    cuts
}

/// Does something with each item, from several threads, until one of them breaks off. They begin
/// when all have started: a thread that starts changes the process's memory map (for its stack),
/// and would wait for those that populate.
fn each<T: Sync>(threads: usize, items: &[T], work: impl Fn(&T) -> ControlFlow<()> + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if work(item).is_break() {
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    };
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let (starting, all_started) = mpsc::channel::<()>();
        for _ in 1..threads.min(items.len()) {
            let (starting, gate, worker) = (starting.clone(), &gate, &worker);
            let start = move || {
                drop(starting);
                drop(gate.read());
                worker();
            };
            // Where there is no thread to be had, the others do the work.
            let _ = thread::Builder::new()
                .name("dma-map".into())
                .spawn_scoped(scope, start);
        }
        drop(starting);
        // Nothing is sent: this returns when the last of them has dropped its end.
        let _ = all_started.recv();
        drop(closed);
        worker();
    });
}

/// Counts bytes, and tells the caller.
struct Count<'a> {
    phase: Phase,
    done: AtomicU64,
    total: u64,
    on_progress: &'a OnProgress<'a>,
    cancelled: AtomicBool,
}

impl<'a> Count<'a> {
    fn new(phase: Phase, total: u64, on_progress: &'a OnProgress<'a>) -> Self {
        Self {
            phase,
            done: AtomicU64::new(0),
            total,
            on_progress,
            cancelled: AtomicBool::new(false),
        }
    }

    fn add(&self, bytes: u64) -> ControlFlow<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let answer = (self.on_progress)(Progress {
            phase: self.phase,
            done,
            total: self.total,
        });
        self.cancelled
            .fetch_or(answer.is_break(), Ordering::Relaxed);
        answer
    }

    fn result(self) -> Result<(), Error> {
        if self.cancelled.into_inner() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, length: u64) -> Span {
        Span::new(start, length).unwrap()
    }

    #[test]
    fn large_memory_is_cut_at_huge_page_borders() {
        let mapper = Mapper::new(NonZeroUsize::new(2).unwrap());
        let whole = span(0x1000, (1 << 30) - 0x1000);
        let cuts = mapper.cut(whole, Pages::Base);
        assert!(cuts.len() >= 2, "{cuts:?}");
        assert!(cuts.iter().skip(1).all(|cut| cut.start() % HUGE == 0));
        assert_eq!(
            (cuts[0].start(), cuts.last().unwrap().last()),
            (whole.start(), whole.last())
        );
        assert!(
            cuts.windows(2)
                .all(|pair| pair[0].last() + 1 == pair[1].start())
        );
        let cuts = mapper.cut(span(0, 4 << 30), Pages::Huge(1 << 30));
        assert!(
            cuts.iter().all(|cut| cut.start() % (1 << 30) == 0),
            "{cuts:?}"
        );
    }

    #[test]
    fn small_or_single_threaded_memory_stays_whole() {
        let two = Mapper::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(two.cut(span(0x20_0000, 32 << 20), Pages::Base).len(), 1);
        assert_eq!(
            Mapper::new(NonZeroUsize::MIN)
                .cut(span(0, 1 << 30), Pages::Base)
                .len(),
            1
        );
    }

    #[test]
    fn cut_includes_last_page_of_address_space() {
        let last = span(u64::MAX - 0xfff, 0x1000);
        assert_eq!(cut(last, HUGE), [last]);
    }

    #[test]
    fn populate_parts_are_small_whole_pages() {
        let parts_of = |pages| {
            let file = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            let memory = Memory::from_file(file, 0, 2 << 30, Box::new(())).with_pages(pages);
            populated(Arc::new(memory), 0..2 << 30)
                .map(|(_, part)| part.length())
                .collect::<Vec<_>>()
        };
        assert_eq!(parts_of(Pages::Base), vec![POPULATED_AT_ONCE; 256]);
        assert_eq!(parts_of(Pages::Huge(1 << 30)), [1 << 30; 2]);
    }

    #[test]
    fn workers_do_each_item_once() {
        for threads in [1, 2, 7] {
            let items: Vec<_> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            each(threads, &items, |item| {
                item.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Continue(())
            });
            assert!(
                items.iter().all(|item| item.load(Ordering::Relaxed) == 1),
                "{threads}"
            );
        }
    }

    #[test]
    fn workers_stop_after_break() {
        for threads in [1, 4] {
            let begun = AtomicUsize::new(0);
            each(threads, &[(); 1000], |()| {
                begun.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Break(())
            });
            assert!(begun.load(Ordering::Relaxed) <= threads, "{begun:?}");
        }
    }
}
