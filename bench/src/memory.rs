//! The memory that is mapped: the kinds of it, and how it is populated.
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

/// Where it is mapped.
pub(crate) const IOVA: u64 = 4 * GIB;

/// So much is populated by one call, as the address space's mapper does.
const POPULATED_AT_ONCE: u64 = 8 * MIB;
const HUGE: Pages = Pages::Huge(2 * MIB);

/// A kind of memory.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Makes so many bytes that nobody has touched.
    pub(crate) make: fn(u64) -> Result<Memory, Error>,
    /// Whether it is mapped by its file.
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

/// How many threads there are at most: one for each processor.
pub(crate) fn processors() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

pub(crate) fn address(memory: &Memory, at: u64) -> Result<*mut u8> {
    Ok(memory
        .address()
        .context("the memory is not mapped")?
        .wrapping_add(at as usize))
}

/// Has the pages made of `length` bytes from `at` on.
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

/// Has all pages made, by so many threads.
pub(crate) fn populate_all(memory: &Memory, threads: usize) -> Result<Duration> {
    let queue = Queue::new(memory.len(), POPULATED_AT_ONCE);
    together(threads, |_| {
        queue.each(|at| populate(memory, at, POPULATED_AT_ONCE))
    })
}

/// The same memory, of which nobody knows that it is a file's.
fn without_file(memory: Memory) -> Memory {
    let (start, length, pages) = (memory.address(), memory.len(), memory.pages());
    let start = start.and_then(NonNull::new).unwrap_or(NonNull::dangling());
    // SAFETY: the memory stays mapped until its owner is dropped, and no references are made to it.
    unsafe { Memory::from_raw(start, length, Box::new(memory)) }.with_pages(pages)
}
