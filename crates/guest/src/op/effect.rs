//! What only the execution of an operation can know.

use passthru_host::ProcessId;
use serde::{Deserialize, Serialize};

/// Fact that an operation produced and that its undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The process of the VMM.
    Process(ProcessId),
    /// The inode that got a name.
    Inode {
        /// Number of the file system's device.
        device: u64,
        /// Number of the inode.
        inode: u64,
    },
    /// The number of a descriptor in the VMM.
    Descriptor(u32),
}
