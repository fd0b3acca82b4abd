//! [`DmaMemory`]: memory for DMA, accessed by copy.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::Error;
use crate::object::retry_once;

/// Anonymous memory that devices may read and write.
///
/// The memory starts on a page, is whole pages long, and is zero at first. Bytes are copied in and
/// out, so that no reference to memory that a device changes exists.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: `DmaMemory` owns its memory, and accesses it by atomic operations only.
unsafe impl Send for DmaMemory {}
// SAFETY: all access through `&DmaMemory` is by atomic operations.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    /// Allocates `length` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// [`Error::Memory`]:
    /// - If `length` is 0, `EINVAL`.
    /// - If there is not enough memory, `ENOMEM`.
    pub fn alloc(length: usize) -> Result<Self, Error> {
        Self::alloc_pages(length).map_err(|e| Error::Memory {
            length,
            source: e.into(),
        })
    }

    fn alloc_pages(length: usize) -> Result<Self, Errno> {
        let page_size = rustix::param::page_size();
        let length = length
            .checked_next_multiple_of(page_size)
            .ok_or(Errno::NOMEM)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), length, prot, MapFlags::PRIVATE) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, length })
    }

    /// Returns the length in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns the address of the first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes out, starting at `offset`. Returns the number of bytes copied, which is less
    /// than `bytes.len()` at the end of the memory.
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

    /// Copies bytes in, starting at `offset`. Returns the number of bytes copied, which is less
    /// than `bytes.len()` at the end of the memory.
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

    /// Returns the words from the one that contains `offset` to the end; empty past the end.
    ///
    /// All access is by whole words, since atomic accesses of different sizes must not be mixed.
    fn words(&self, offset: usize) -> &[AtomicU64] {
        let start = self.start.as_ptr().cast::<AtomicU64>();
        let count = self.length / WORD;
        // SAFETY: until `self` is dropped, the memory is mapped: whole pages, initialized to zero.
        // Others, devices included, may change atomics at any time.
        let all = unsafe { std::slice::from_raw_parts(start, count) };
        all.get(offset / WORD..).unwrap_or_default()
    }
}

/// Size of a word, in bytes.
const WORD: usize = size_of::<u64>();

/// Returns the number of bytes from `offset` to the next multiple of [`WORD`].
fn to_next_word(offset: usize) -> usize {
    offset.wrapping_neg() % WORD
}

/// Copies bytes out of a word, starting at its byte `at`.
fn load_part(word: Option<&AtomicU64>, at: usize, bytes: &mut [u8]) {
    if let Some(word) = word
        && !bytes.is_empty()
    {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[at..at + bytes.len()]);
    }
}

/// Stores bytes into a word, starting at its byte `at`. Concurrent changes to its other bytes are
/// kept.
fn store_part(word: Option<&AtomicU64>, at: usize, bytes: &[u8]) {
    if let Some(word) = word
        && !bytes.is_empty()
    {
        // The closure returns Some, so the update never fails.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |former| {
            Some(merge(former, at, bytes))
        });
    }
}

/// Returns a word with some bytes replaced, starting at its byte `at`.
fn merge(word: u64, at: usize, bytes: &[u8]) -> u64 {
    let mut merged = word.to_ne_bytes();
    merged[at..at + bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(merged)
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        let result = retry_once(|| {
            // SAFETY: the memory came from mmap with this length, and is no longer used. (Devices
            // reach it by a `Mapping` only, which holds an `Arc` of this value.)
            unsafe { munmap(self.start.as_ptr().cast(), self.length) }
        });
        if let Err(error) = result {
            tracing::warn!(
                "cannot free {:#x} bytes of memory for DMA: {error}",
                self.length
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::num::u8::ANY;

    use super::*;

    #[test]
    fn memory_is_whole_pages_of_zeros() {
        let memory = DmaMemory::alloc(1).unwrap();
        assert_eq!(memory.len(), rustix::param::page_size());
        let mut bytes = vec![1; memory.len()];
        assert_eq!(memory.read(0, &mut bytes), memory.len());
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn copies_stop_at_the_end_of_the_memory() {
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
        fn bytes_written_at_any_offset_are_read_back(
            writes in vec((0_usize..5000, vec(ANY, 0..100)), 1..20),
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
    fn memory_of_zero_or_too_many_bytes_is_refused() {
        for length in [0, usize::MAX] {
            assert!(
                matches!(DmaMemory::alloc(length), Err(Error::Memory { .. })),
                "{length}"
            );
        }
    }
}
