//! [`HotResetProof`]: the proof of ownership that a hot reset takes.

use std::os::fd::{AsFd, BorrowedFd};

use super::type1::GroupProof;

/// What proves that a hot reset is the owner's. The reset itself is the device's call. With type1
/// it keeps the groups in their container, so it goes before a device of them is detached.
#[derive(Debug, Default)]
pub struct HotResetProof {
    pub(super) groups: Vec<GroupProof>,
}

impl HotResetProof {
    /// Returns the files for `VFIO_DEVICE_PCI_HOT_RESET`.
    pub fn files(&self) -> Vec<BorrowedFd<'_>> {
        self.groups
            .iter()
            .map(|proof| proof.group().as_fd())
            .collect()
    }
}
