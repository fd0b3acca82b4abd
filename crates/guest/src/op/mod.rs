//! Operations: each is one change that others can see outside of this process.
//!
//! A plan lists the operations of a start. A dry run prints that list, a start executes it, the
//! journal records it, and the end of the guest or a recovery undoes it.

pub(crate) mod apply;
pub(crate) mod describe;
pub(crate) mod effect;
pub(crate) mod ledger;
pub(crate) mod observe;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
pub(crate) mod op;
pub(crate) mod own_record;
pub(crate) mod socket;
pub(crate) mod undo;
pub(crate) mod world;
