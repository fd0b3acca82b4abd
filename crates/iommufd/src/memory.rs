//! [`DmaMemory`], memory of its own for DMA, and [`Mapping`], which keeps it for as long as devices
//! reach it.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::Error;
use crate::object::retry_once;

/// Anonymous memory that devices may read and write. It starts on a page and is zero at first.
/// Bytes go in and out by copy, so that no reference to what a device changes ever exists.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, and touches it by atomic operations alone.
unsafe impl Send for DmaMemory {}
// SAFETY: as above.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    /// Allocates memory, by whole pages.
    ///
    /// # Errors
    /// [`Error::Memory`], also for no bytes.
    pub fn alloc(length: usize) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Memory {
            length,
            source: e.into(),
        };
        let rounded = length.checked_next_multiple_of(rustix::param::page_size());
        let rounded = rounded.ok_or(Errno::NOMEM).map_err(failed)?;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), rounded, prot, flags) }.map_err(failed)?;
        let start = NonNull::new(start.cast())
            .ok_or(Errno::NOMEM)
            .map_err(failed)?;
        Ok(Self {
            start,
            length: rounded,
        })
    }

    /// Returns its length in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns where it starts.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes out, from `offset` on. Returns how many there were before the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let length = bytes.len().min(self.length.saturating_sub(offset));
        let (head, rest) = bytes[..length].split_at_mut(to_next_word(offset).min(length));
        let (whole, tail) = rest.as_chunks_mut();
        let words = self.words(offset + head.len());
        load_part(self.words(offset).first(), offset % WORD, head);
        for (bytes, word) in whole.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        load_part(words.get(whole.len()), 0, tail);
        length
    }

    /// Copies bytes in, from `offset` on. Returns how many went in before the end.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.length.saturating_sub(offset));
        let (head, rest) = bytes[..length].split_at(to_next_word(offset).min(length));
        let (whole, tail) = rest.as_chunks();
        let words = self.words(offset + head.len());
        store_part(self.words(offset).first(), offset % WORD, head);
        for (bytes, word) in whole.iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        store_part(words.get(whole.len()), 0, tail);
        length
    }

    /// Returns the words from the one on that `offset` lies in; none past the end. All access is by
    /// whole words, since atomic ones of different sizes do not go together.
    fn words(&self, offset: usize) -> &[AtomicU64] {
        let (start, count) = (self.start.as_ptr().cast::<AtomicU64>(), self.length / WORD);
        // SAFETY: the memory is there, whole pages, zeroed at first, until `self` is dropped;
        // atomics may be changed by others, devices included, at any time.
        let all = unsafe { std::slice::from_raw_parts(start, count) };
        all.get(offset / WORD..).unwrap_or_default()
    }
}

const WORD: usize = size_of::<u64>();

/// How many bytes there are before the next border of words.
fn to_next_word(offset: usize) -> usize {
    offset.wrapping_neg() % WORD
}

/// Takes some bytes of a word, from its byte `at` on.
fn load_part(word: Option<&AtomicU64>, at: usize, bytes: &mut [u8]) {
    if let (Some(word), false) = (word, bytes.is_empty()) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[at..at + bytes.len()]);
    }
}

/// Puts some bytes into a word, from its byte `at` on; its others stay as they are, also where
/// somebody changes them meanwhile.
fn store_part(word: Option<&AtomicU64>, at: usize, bytes: &[u8]) {
    if let (Some(word), false) = (word, bytes.is_empty()) {
        let merged = |word: u64| {
            let mut all = word.to_ne_bytes();
            all[at..at + bytes.len()].copy_from_slice(bytes);
            Some(u64::from_ne_bytes(all))
        };
        // It is never refused.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, merged);
    }
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        // SAFETY: it came from mmap with this length, and nobody has it any more: each mapping that
        // a device reaches it by holds the `Arc` it is in.
        if let Err(error) =
            retry_once(|| unsafe { munmap(self.start.as_ptr().cast(), self.length) })
        {
            tracing::warn!(
                "cannot free {:#x} bytes of memory for DMA: {error}",
                self.length
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_dma_is_whole_pages_of_zeros() {
        let memory = DmaMemory::alloc(1).unwrap();
        assert_eq!(memory.len(), rustix::param::page_size());
        let mut bytes = vec![1; memory.len()];
        assert_eq!(memory.read(0, &mut bytes), memory.len());
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_go_in_and_out_up_to_the_end() {
        let memory = DmaMemory::alloc(4096).unwrap();
        let end = memory.len() - 2;
        assert_eq!(memory.write(end, b"abc"), 2);
        let mut bytes = [0; 3];
        assert_eq!(memory.read(end, &mut bytes), 2);
        assert_eq!(&bytes, b"ab\0");
        assert_eq!(memory.read(usize::MAX, &mut bytes), 0);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_wherever_it_lies(
            writes in proptest::collection::vec((0_usize..5000, proptest::collection::vec(proptest::num::u8::ANY, 0..100)), 1..20),
            (offset, length) in (0_usize..5000, 0_usize..5000),
        ) {
            let memory = DmaMemory::alloc(4096).unwrap();
            let mut model = vec![0; memory.len()];
            for (offset, bytes) in writes {
                let count = bytes.len().min(model.len().saturating_sub(offset));
                proptest::prop_assert_eq!(memory.write(offset, &bytes), count);
                if count > 0 {
                    model[offset..offset + count].copy_from_slice(&bytes[..count]);
                }
            }
            let expected = model.get(offset..).unwrap_or_default();
            let mut bytes = vec![7; length];
            let count = memory.read(offset, &mut bytes);
            proptest::prop_assert_eq!(count, expected.len().min(length));
            proptest::prop_assert_eq!(&bytes[..count], &expected[..count]);
            proptest::prop_assert!(bytes[count..].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn memory_of_no_or_of_too_many_bytes_is_refused() {
        for length in [0, usize::MAX] {
            assert!(
                matches!(DmaMemory::alloc(length), Err(Error::Memory { .. })),
                "{length}"
            );
        }
    }
}
