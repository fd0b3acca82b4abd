//! [`HotResetProof`]: the proof of ownership that a hot reset takes.

use std::os::fd::{AsFd, BorrowedFd};

use super::type1::GroupProof;

/// Proof that the caller owns all devices that a hot reset affects.
///
/// With type1 it keeps the groups in their container. Drop it before one of their devices is
/// detached.
#[derive(Debug, Default)]
pub struct HotResetProof {
    pub(super) groups: Vec<GroupProof>,
}

impl HotResetProof {
    /// Returns the files that `VFIO_DEVICE_PCI_HOT_RESET` takes.
    pub fn files(&self) -> Vec<BorrowedFd<'_>> {
        self.groups
            .iter()
            .map(|proof| proof.group().as_fd())
            .collect()
    }
}
