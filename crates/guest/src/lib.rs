//! The life of a guest. A start opens the files that the VMM needs, takes the devices, and spawns
//! the VMM without privileges. The end of the guest gives the devices back.
//!
//! [`StartPlan`] decides what a start will do and changes nothing. [`start`] does it and returns a
//! [`Guest`], paused. [`Guest::finish`] waits for its end and gives the devices back.
//!
//! A guest outlives this process. [`adopt`] takes over one whose manager has died or called
//! [`Guest::leave`], and [`recover`] undoes what is left of a dead one. Nothing here prints or
//! reads the environment.

mod error;
mod journal;
mod op;
mod opener;
mod plan;
mod run;
mod start;
#[cfg(test)]
#[path = "../../host/src/test_threads.rs"]
mod test_threads;
mod transaction;
mod vmm_log;

pub use error::{Error, GroupRule};
pub use journal::JournalError;
pub use op::effect::Effect;
pub use op::op::{Descriptor, Lifetime, Op, PartKind};
pub use opener::RefusedLink;
pub use plan::attach_plan::AttachSettings;
pub use plan::detach_plan::DetachSettings;
pub use plan::memlock::MemlockItem;
pub use plan::start_plan::{StartPlan, StartSettings};
pub use run::adopt::{AdoptSettings, Adopted, adopt};
pub use run::control_socket::{control_path, listen_for_control};
pub use run::dead_guest::{DeadGuest, dead_guests, guest_names};
pub use run::ending::{Ending, EndingNotice};
pub use run::folder::{FolderError, RUN_DIR, folder_path, live_domain};
pub use run::forget::{Forgotten, forget};
pub use run::guest::{Ended, Guest};
pub use run::recover::{Recovered, recover};
pub use start::check::{check, check_devices, start_notes};
pub use start::copy::FileTooLarge;
pub use start::firmware::{FIRMWARE_DIRS, FirmwareDescriptors};
pub use start::has_stdio;
pub use start::ids::{RangeError, UidRange};
pub use start::images::Error as ImageError;
pub use start::last_firmware::LostFirmware;
pub use start::launch::start;
pub use start::outside::NamedFds;
pub use start::qcow2::Error as Qcow2Error;
pub use start::record::{Error as RecordError, Firmware, GuestRecord, Ids, RECORD_DIR, Records};
pub use start::user::{Error as UserError, User};
pub use transaction::{HotplugError, TransactionEnd, TransactionKind, TransactionProgress};
pub use vmm_log::{LOG_DIR, LogReader, VmmLog};
