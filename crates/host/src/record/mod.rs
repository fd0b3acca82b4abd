//! Records of taken devices, and the devices that were not given back.

mod former_state;
mod leftover;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod record;
#[cfg(test)]
mod tests;

pub use former_state::FormerState;
pub use leftover::{Leftover, LeftoverState};
pub use record::Record;
pub(crate) use record::{VERSION, Validity, read_record, write_record};
