//! [`Reader`]: reads at IOVAs of an address space by DMA of `edu`.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_vfio::address_space::{AddressSpace, Memory, Pages, Span};
use passthru_vfio::device::Device;

use super::PAGE;
use crate::edu::Edu;

/// IOVA that `edu` copies to. The device reaches 28 bits of addresses.
const SCRATCH: u64 = 0xfff_0000;

/// An `edu` device with a page of memory that it copies to.
pub(super) struct Reader {
    edu: Edu,
    scratch: Arc<Memory>,
}

impl Reader {
    /// Enables the device, and maps the page.
    pub(super) fn new(device: &Device, space: &AddressSpace) -> Self {
        let scratch = Arc::new(Memory::anonymous(PAGE, Pages::Base).unwrap());
        super::add(space, SCRATCH, &scratch);
        Self {
            edu: Edu::new(device),
            scratch,
        }
    }

    /// Unmaps the page.
    pub(super) fn close(self, space: &AddressSpace) {
        let mut change = space.begin();
        change.del(Span::new(SCRATCH, PAGE).unwrap());
        change.commit().unwrap();
    }

    /// Returns what the device reads at an IOVA. The value is arbitrary if nothing is mapped there.
    pub(super) fn read(&self, iova: u64) -> u64 {
        self.copy(iova, SCRATCH);
        peek(&self.scratch, 0)
    }

    /// Copies 8 bytes from one IOVA to another by DMA.
    pub(super) fn copy(&self, from: u64, to: u64) {
        self.edu.load(from, 8);
        self.edu.store(to, 8);
    }
}

/// Reads 8 bytes of a memory.
pub(super) fn peek(memory: &Memory, offset: u64) -> u64 {
    // SAFETY: the offset lies within the memory, which is mapped. All accesses are volatile.
    unsafe {
        memory
            .address()
            .unwrap()
            .add(offset as usize)
            .cast::<u64>()
            .read_volatile()
    }
}

/// Writes 8 bytes of a memory.
pub(super) fn poke(memory: &Memory, offset: u64, value: u64) {
    // SAFETY: the offset lies within the memory, which is mapped. All accesses are volatile.
    unsafe {
        memory
            .address()
            .unwrap()
            .add(offset as usize)
            .cast::<u64>()
            .write_volatile(value);
    }
}
