//! Kinds of memory to map, and their population.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};
use passthru_vfio::address_space::{Error, Memory, Pages};
use rustix::mm::{Advice, madvise};

use crate::team::{Queue, together};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// First IOVA of the mappings.
pub(crate) const IOVA: u64 = 4 * GIB;

/// Bytes that one call populates, as in the address space's mapper.
const POPULATED_AT_ONCE: u64 = 8 * MIB;
const HUGE: Pages = Pages::Huge(2 * MIB);

/// A kind of memory.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Allocates this number of untouched bytes.
    pub(crate) make: fn(u64) -> Result<Memory, Error>,
    /// Whether the memory is mapped by its file.
    pub(crate) by_file: bool,
}

impl Kind {
    const fn by_address(name: &'static str, make: fn(u64) -> Result<Memory, Error>) -> Self {
        Self {
            name,
            make,
            by_file: false,
        }
    }

    const fn by_file(name: &'static str, make: fn(u64) -> Result<Memory, Error>) -> Self {
        Self {
            name,
            make,
            by_file: true,
        }
    }
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::by_address("private, base pages", |length| {
        Memory::anonymous(length, Pages::Base)
    }),
    Kind::by_address("private, THP", |length| {
        Memory::anonymous(length, Pages::Transparent)
    }),
    Kind::by_address("private, hugetlb of 2 MiB", |length| {
        Memory::anonymous(length, HUGE)
    }),
    Kind::by_address("memfd, by its address", |length| {
        Memory::memfd(length, Pages::Base).map(without_file)
    }),
    Kind::by_file("memfd, by its file", |length| {
        Memory::memfd(length, Pages::Base)
    }),
    Kind::by_address("memfd of hugetlb, by its address", |length| {
        Memory::memfd(length, HUGE).map(without_file)
    }),
    Kind::by_file("memfd of hugetlb, by its file", |length| {
        Memory::memfd(length, HUGE)
    }),
];

/// Returns the largest number of threads: one for each processor.
pub(crate) fn processors() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

pub(crate) fn address(memory: &Memory, at: u64) -> Result<*mut u8> {
    Ok(memory
        .address()
        .context("the memory is not mapped")?
        .wrapping_add(at as usize))
}

/// Populates the pages of `length` bytes from `at`.
pub(crate) fn populate(memory: &Memory, at: u64, length: u64) -> Result<()> {
    for at in (at..at + length).step_by(POPULATED_AT_ONCE as usize) {
        let start = address(memory, at)?;
        // SAFETY: the memory is mapped; the contents stay as they are.
        let answer = unsafe {
            madvise(
                start.cast(),
                POPULATED_AT_ONCE as usize,
                Advice::LinuxPopulateWrite,
            )
        };
        answer.context("MADV_POPULATE_WRITE")?;
    }

    Ok(())
}

/// Populates all pages, by this number of threads.
pub(crate) fn populate_all(memory: &Memory, threads: usize) -> Result<Duration> {
    let queue = Queue::new(memory.len(), POPULATED_AT_ONCE);
    together(threads, |_| {
        queue.each(|at| populate(memory, at, POPULATED_AT_ONCE))
    })
}

/// Returns the same memory without its file.
fn without_file(memory: Memory) -> Memory {
    let start = memory.address().and_then(NonNull::new);
    let start = start.unwrap_or(NonNull::dangling());
    let length = memory.len();
    let pages = memory.pages();
    // SAFETY: the memory stays mapped until its owner is dropped, and no references are made to it.
    unsafe { Memory::from_raw(start, length, Box::new(memory)) }.with_pages(pages)
}
