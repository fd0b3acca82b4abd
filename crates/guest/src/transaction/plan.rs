//! The plan of a transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use passthru_domain::Domain;
use passthru_host::Request;

use super::transaction::TransactionKind;
use crate::op::op::Op;
use crate::plan::memlock::Memlock;

/// The plan of a change of a running guest's devices.
#[derive(Debug)]
pub(crate) struct TransactionPlan {
    pub(crate) kind: TransactionKind,
    pub(crate) steps: Vec<Step>,
    /// Aliases of the devices.
    pub(crate) aliases: Vec<String>,
    /// Devices to take.
    pub(crate) requests: Vec<Request>,
    /// The guest's domain once an attach has succeeded.
    pub(crate) domain: Option<Box<Domain>>,
    /// The VMM's limit on locked memory once the change has succeeded.
    pub(crate) memlock: Memlock,
    /// The block nodes in drives once an attach has succeeded, by the aliases of the drives.
    pub(crate) media: BTreeMap<String, Option<String>>,
    /// Time for the guest to release a device.
    pub(crate) time: Duration,
    /// Whether a guest that does not release a device is reset.
    pub(crate) force: bool,
}

/// Step of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Execute an operation.
    Do(Op),
    /// Undo the operation in force that has this number.
    Undo(u32),
}
