//! The life of a guest: what its VMM needs is opened, the devices change hands, the VMM is spawned
//! without privileges and watched, and everything goes back.
//!
//! [`Plan`] decides what a start will do and changes nothing; [`Plan::start`] does it and gives a
//! [`Guest`], paused; [`Guest::finish`] waits for its end and gives the devices back. Nothing here
//! prints or reads the environment.

mod copy;
#[cfg(test)]
mod crowded;
mod dead;
mod error;
mod forget;
mod guest;
mod handover;
mod ids;
mod images;
mod inherited;
mod leftovers;
mod machine;
mod memlock;
mod messages;
mod nvram;
mod open;
mod opener;
mod outside;
mod plan;
mod qcow2;
mod record;
mod registration;
mod spawn;
mod start;
mod state;
mod step;
mod user;
mod vmm;

pub use copy::TooLarge;
pub use dead::{DeadGuest, dead_guests};
pub use error::Error;
pub use forget::{Forgotten, forget};
pub use guest::{Ended, Guest};
pub use ids::{RangeError, UidRange};
pub use images::Error as ImageError;
pub use machine::{QUIT_TIME, TERMINATE_TIME};
pub use memlock::MemlockItem;
pub use opener::RefusedLink;
pub use outside::NamedFds;
pub use plan::{Plan, Settings};
pub use qcow2::Error as Qcow2Error;
pub use record::{Error as RecordError, Firmware, GuestRecord, Ids, RECORD_DIR, Records};
pub use state::{Error as StateError, RUN_DIR};
pub use step::Step;
pub use user::{Error as UserError, User};
