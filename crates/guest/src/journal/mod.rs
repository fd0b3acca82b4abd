//! The journal of a guest: which operations are in force.
//!
//! It is the file `journal` in the guest's folder, which only root can read. Each line is a JSON
//! object. A line is on file before the operation begins, and another one once it is done. So
//! after a crash, the journal names everything that may have changed.

mod error;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod journal;
mod line;
mod read;

pub use error::JournalError;
pub(crate) use journal::Journal;
pub(crate) use line::Header;
pub(crate) use read::{Entry, EntryState, JournalState, UsedUp, read_journal};
