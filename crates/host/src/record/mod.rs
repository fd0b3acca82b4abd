//! Records of taken devices, and the devices that were not given back.

mod leftover;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod record;

pub use leftover::{Leftover, LeftoverState};
pub use record::{FormerState, Record};
pub(crate) use record::{VERSION, Validity};
