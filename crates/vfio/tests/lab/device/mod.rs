//! Devices: each kind of call once with success, and once with failure.

mod dma_buf;
mod failures;
mod features;
mod iommu;
mod irqs;
mod migration;
mod regions;
mod resets;
mod states;
pub(crate) mod token;

use passthru_vfio::device::Error;
use rustix::io::Errno;

fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

/// The error is the kernel's with this number, and its hint has these words.
#[track_caller]
fn assert_hint(error: &Error, number: Errno, words: &str) {
    assert_eq!(errno(error), Some(number), "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains(words)),
        "{error}: {:?}",
        error.hint()
    );
}
