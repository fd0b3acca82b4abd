//! What `edu` finds at an IOVA of an address space.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_vfio::address_space::{AddressSpace, Memory, Pages, Span};
use passthru_vfio::device::Device;

use super::PAGE;
use crate::edu::Edu;

/// Where `edu` leaves what it found. It reaches 28 bits of addresses.
const SCRATCH: u64 = 0xfff_0000;

pub(super) struct Reader {
    edu: Edu,
    scratch: Arc<Memory>,
}

impl Reader {
    /// Enables the device, and maps a page for its answers.
    pub(super) fn new(device: &Device, space: &AddressSpace) -> Self {
        let scratch = Arc::new(Memory::anonymous(PAGE, Pages::Base).unwrap());
        super::add(space, SCRATCH, &scratch);
        Self {
            edu: Edu::new(device),
            scratch,
        }
    }

    /// Takes the page away again.
    pub(super) fn close(self, space: &AddressSpace) {
        let mut change = space.begin();
        change.del(Span::new(SCRATCH, PAGE).unwrap());
        change.commit().unwrap();
    }

    /// What the device reads at an IOVA; anything where nothing is mapped.
    pub(super) fn read(&self, iova: u64) -> u64 {
        self.copy(iova, SCRATCH);
        peek(&self.scratch, 0)
    }

    /// Has the device write to an IOVA what it reads at another one.
    pub(super) fn copy(&self, from: u64, to: u64) {
        self.edu.load(from, 8);
        self.edu.store(to, 8);
    }
}

pub(super) fn peek(memory: &Memory, offset: u64) -> u64 {
    // SAFETY: within the memory, which is mapped; it is accessed by volatile operations alone.
    unsafe {
        memory
            .address()
            .unwrap()
            .add(offset as usize)
            .cast::<u64>()
            .read_volatile()
    }
}

pub(super) fn poke(memory: &Memory, offset: u64, value: u64) {
    // SAFETY: as above.
    unsafe {
        memory
            .address()
            .unwrap()
            .add(offset as usize)
            .cast::<u64>()
            .write_volatile(value);
    }
}
