//! The record of a guest, `/var/lib/passthru/guests/NAME.json`: facts that last from one start to
//! the next.

mod error;
mod guest_record;
mod records;

pub use error::Error;
pub(crate) use guest_record::is_possible;
pub use guest_record::{Firmware, GuestRecord, Ids};
pub use records::{RECORD_DIR, Records};
