//! The lines of a journal.

use passthru_host::ProcessId;
use serde::{Deserialize, Serialize};

use crate::op::effect::Effect;
use crate::op::op::Op;
use crate::start::record::Ids;

/// Version of the journals that this program writes. It rises when an older program would misread
/// a newer journal.
pub(super) const VERSION: u32 = 1;

/// First line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Version of the format.
    pub(super) journal: u32,
    /// Version of the program that began the journal.
    pub(crate) passthru: String,
    /// Name of the guest.
    pub(crate) guest: String,
    /// Process that began the journal.
    pub(crate) manager: ProcessId,
    /// User and group of the VMM.
    pub(crate) user: Ids,
}

impl Header {
    /// Returns the first line of a journal that this process begins.
    pub(crate) fn new(guest: &str, manager: ProcessId, user: Ids) -> Self {
        Self {
            journal: VERSION,
            passthru: env!("CARGO_PKG_VERSION").into(),
            guest: guest.into(),
            manager,
            user,
        }
    }
}

/// Line after the header. `number` is that of the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub(super) enum Line {
    /// The operation begins.
    Begin {
        number: u32,
        #[serde(flatten)]
        op: Op,
    },
    /// The operation produced a fact. It may not be done yet.
    Effect { number: u32, effect: Effect },
    /// The operation is in force.
    Done { number: u32 },
    /// The operation failed, and changed nothing.
    Failed { number: u32 },
    /// The undo of the operation begins.
    Undo { number: u32 },
    /// The operation is no longer in force.
    Undone { number: u32 },
    /// Another process manages the guest from now on.
    Adopted { manager: ProcessId },
    /// The undo failed. The operation may be in force.
    Stuck { number: u32, reason: String },
}
