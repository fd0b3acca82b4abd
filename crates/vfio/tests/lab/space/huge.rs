//! Memory of huge pages.
#![allow(unsafe_code)]

use std::fs;

use passthru_vfio::address_space::{Memory, Pages};

const HUGE: u64 = 2 << 20;

#[test]
fn huge_page_memory_has_whole_pages() {
    let _host = passthru_lab::host();
    fs::write("/proc/sys/vm/nr_hugepages", "4").unwrap();
    for make in [Memory::anonymous, Memory::memfd] {
        let memory = make(HUGE + 0x1000, Pages::Huge(HUGE)).unwrap();
        assert_eq!(memory.len(), 2 * HUGE);
        let last = memory
            .address()
            .unwrap()
            .wrapping_add(2 * HUGE as usize - 1);
        // SAFETY: the memory is mapped, and no other thread or device has it.
        assert_eq!(unsafe { last.read_volatile() }, 0);
    }

    fs::write("/proc/sys/vm/nr_hugepages", "0").unwrap();
}
