//! Tests on the virtual host's kernel: `cargo xtask lab test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod context;
mod destroy;
mod dirty;
mod failures;
mod faults;
mod hw_info;
mod hw_queue;
mod hwpt;
mod limits;
mod mapping;
mod mock;
mod nesting;
mod order;
mod pasid;
mod ranges;
mod viommu;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use passthru_iommufd::{DmaMemory, Error, Hwpt, HwptOptions, Ioas, Iommufd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;

use mock::Device;

/// Length of most mappings: two pages.
const LENGTH: u64 = 0x2000;

/// Allocates an empty I/O address space in a context of its own, on the virtual host only.
fn ioas() -> Arc<Ioas> {
    let _host = passthru_lab::host();
    let context = Arc::new(Iommufd::open().unwrap());
    Arc::new(Ioas::alloc(&context).unwrap())
}

/// Allocates a nest parent: a page table that others can be allocated over.
fn nest_parent(device: &Device, ioas: &Arc<Ioas>) -> Arc<Hwpt> {
    let options = HwptOptions {
        nest_parent: true,
        ..HwptOptions::default()
    };
    Arc::new(Hwpt::alloc(device, ioas, &options).unwrap())
}

fn memory(length: u64) -> Arc<DmaMemory> {
    Arc::new(DmaMemory::alloc(length as usize).unwrap())
}

fn memfd(length: u64) -> OwnedFd {
    let fd = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, length).unwrap();
    fd
}

fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

/// Asserts that an error is the kernel's with this errno, and that its hint has these words.
#[track_caller]
fn assert_hint(error: &Error, number: Errno, words: &str) {
    assert_eq!(errno(error), Some(number), "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains(words)),
        "{error}: {:?}",
        error.hint()
    );
}
