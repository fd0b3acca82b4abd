//! The record of a guest, `/var/lib/passthru/guests/NAME.json`: what must last from one start to
//! the next.

mod error;
mod records;

pub use error::Error;
pub(crate) use records::is_possible;
pub use records::{Firmware, GuestRecord, Ids, RECORD_DIR, Records};
