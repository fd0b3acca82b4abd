//! Changes of a running guest's devices, as transactions: whole or not at all.
//!
//! A transaction never waits. Its owner advances it when the monitor has a message, when a deadline
//! is over, and then again.

mod begin;
mod error;
mod job;
mod medium;
mod memlock;
mod news;
mod plan;
mod removal;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod transaction;
mod undo;
mod wait;

pub use error::HotplugError;
pub(crate) use memlock::memlock_limit;
pub(crate) use plan::{Step, TransactionPlan};
pub(crate) use transaction::Transaction;
pub use transaction::{TransactionEnd, TransactionKind, TransactionProgress};
