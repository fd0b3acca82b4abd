//! [`Mapper`]: mapping of large memory from several threads.
//!
//! All threads first have the kernel make the pages, and only then map them. A thread that faults
//! pages in holds the memory-map lock of the process, for which a thread that maps would wait.
//! Mixed, both together take as long as one thread. Memory that is mapped by its file causes no
//! faults, and is mapped at once.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread;

use super::map_job::MapJob;
use super::memory_ranges::MemoryRanges;
use super::progress::{OnProgress, Phase, ProgressCounter};
use super::workers::for_each_parallel;
use super::{Error, Memory, Pages, Span};
use crate::container::{Backend, Dma};

/// Largest number of threads of the default mapper.
const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Size of a huge page, at whose multiples memory is cut.
const HUGE_PAGE: u64 = 2 << 20;
/// Number of parts for each thread: fast threads take over parts of slow ones.
const PARTS_PER_THREAD: u64 = 4;
const SMALLEST_PART: u64 = 64 << 20;
const LARGEST_PART: u64 = 1 << 30;
/// Number of bytes that one call populates.
const POPULATE_STEP: u64 = 8 << 20;

/// The number of threads that map memory.
///
/// - Memory that is mapped by its address: all threads first populate the pages
///   (`MADV_POPULATE_WRITE`), then map them. On type1, which pins under one lock, one thread maps.
/// - Memory that is mapped by its file: all threads map at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapper {
    threads: NonZeroUsize,
}

impl Default for Mapper {
    /// Uses as many threads as the process may use processors, at most 16.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::new(threads.min(MAX_THREADS))
    }
}

impl Mapper {
    /// Uses this many threads. A single thread does not populate memory before it maps.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads }
    }

    /// Returns the number of threads.
    pub fn threads(self) -> usize {
        self.threads.get()
    }

    /// Returns the number of threads to use for `bytes`.
    fn threads_for(self, bytes: u64) -> usize {
        let parts = usize::try_from(bytes.div_ceil(SMALLEST_PART)).unwrap_or(usize::MAX);
        self.threads().min(parts)
    }

    /// Cuts a span at multiples of huge pages, into several parts for each thread.
    pub(super) fn cut(self, span: Span, pages: Pages) -> Vec<Span> {
        let border = match pages {
            Pages::Huge(size) => size.max(HUGE_PAGE),
            Pages::Base | Pages::Transparent => HUGE_PAGE,
        };
        let size = if self.threads() == 1 {
            LARGEST_PART
        } else {
            let share = span.length() / (PARTS_PER_THREAD * self.threads() as u64);
            share.clamp(SMALLEST_PART, LARGEST_PART)
        };
        cut_at_multiples(span, size.next_multiple_of(border))
    }

    /// Populates ranges of memories, with all threads.
    pub(super) fn populate(
        self,
        ranges: MemoryRanges,
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        if self.threads() == 1 {
            return Ok(());
        }
        let parts: Vec<_> = ranges
            .into_iter()
            .flat_map(|(memory, range)| populate_parts(memory, range))
            .collect();
        let total = parts.iter().map(|(_, part)| part.length()).sum();
        let counter = ProgressCounter::new(Phase::Populate, total, on_progress);
        for_each_parallel(self.threads_for(total), &parts, |(memory, part)| {
            memory.populate(part.start(), part.length());
            counter.add(part.length())
        });
        counter.result()
    }

    /// Does all jobs, until one whose mapping is required fails or the caller cancels.
    ///
    /// # Safety
    /// All mappings are recorded in the container until they are unmapped, or until their result is
    /// unset or an error.
    pub(super) unsafe fn map(
        self,
        dma: &dyn Dma,
        jobs: &[MapJob],
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Error> {
        let total = jobs.iter().map(|job| job.mapping.span.length()).sum();
        let counter = ProgressCounter::new(Phase::Map, total, on_progress);
        // type1 pins under one lock: more threads would only wait.
        let threads = match dma.capabilities().backend {
            Backend::Type1 => 1,
            Backend::Iommufd => self.threads_for(counter.total()),
        };
        for_each_parallel(threads, jobs, |job| {
            // SAFETY: the contract of this function.
            let result = job.result.get_or_init(|| unsafe { job.map(dma) });
            if result.is_err() && job.mapping.is_required {
                return ControlFlow::Break(());
            }
            counter.add(job.mapping.span.length())
        });
        counter.result()
    }
}

/// Cuts a range of a memory into the parts that one call each populates.
///
/// The parts are small: all threads end at about the same time, and other users of the memory-map
/// lock wait for one part only. No part ends within a page.
fn populate_parts(
    memory: Arc<Memory>,
    range: Range<u64>,
) -> impl Iterator<Item = (Arc<Memory>, Span)> {
    let step = match memory.pages() {
        Pages::Huge(size) => size.max(POPULATE_STEP),
        Pages::Base | Pages::Transparent => POPULATE_STEP,
    };
    let parts = match Span::from_bounds(range.start, range.end) {
        Some(span) => cut_at_multiples(span, step),
        None => Vec::new(),
    };
    parts
        .into_iter()
        .map(move |part| (Arc::clone(&memory), part))
}

/// Cuts a span at the multiples of `size`.
fn cut_at_multiples(span: Span, size: u64) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut start = span.start();
    while let Some(next) = next_multiple(start, size) {
        if next > span.last() {
            break;
        }
        parts.extend(Span::from_bounds(start, next));
        start = next;
    }

    parts.extend(Span::from_first_and_last(start, span.last()));
    parts
}

/// Returns the first multiple of `size` above an address.
fn next_multiple(address: u64, size: u64) -> Option<u64> {
    (address / size + 1).checked_mul(size)
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
        assert!(cuts.iter().skip(1).all(|cut| cut.start() % HUGE_PAGE == 0));
        assert_eq!(cuts[0].start(), whole.start());
        assert_eq!(cuts.last().unwrap().last(), whole.last());
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
        let one = Mapper::new(NonZeroUsize::MIN);
        assert_eq!(one.cut(span(0, 1 << 30), Pages::Base).len(), 1);
    }

    #[test]
    fn cut_includes_last_page_of_address_space() {
        let last = span(u64::MAX - 0xfff, 0x1000);
        assert_eq!(cut_at_multiples(last, HUGE_PAGE), [last]);
    }

    /// Returns the lengths of the parts in which 2 GiB are populated.
    fn populated_lengths(pages: Pages) -> Vec<u64> {
        let file = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let memory = Memory::from_file(file, 0, 2 << 30, Box::new(())).with_pages(pages);
        populate_parts(Arc::new(memory), 0..2 << 30)
            .map(|(_, part)| part.length())
            .collect()
    }

    #[test]
    fn populate_parts_are_small_whole_pages() {
        assert_eq!(populated_lengths(Pages::Base), vec![POPULATE_STEP; 256]);
        assert_eq!(populated_lengths(Pages::Huge(1 << 30)), [1 << 30; 2]);
    }
}
