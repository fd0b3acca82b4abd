//! The life of a guest: what its VMM needs is opened, the devices change hands, the VMM is spawned
//! without privileges and watched, and everything goes back.
//!
//! [`Plan`] decides what a start will do and changes nothing; [`Plan::start`] does it and gives a
//! [`Guest`], paused; [`Guest::finish`] waits for its end and gives the devices back. Nothing here prints
//! or reads the environment.

mod copy;
mod error;
mod guest;
mod handover;
mod images;
mod inherited;
mod leftovers;
mod memlock;
mod messages;
mod nvram;
mod open;
mod opener;
mod outside;
mod plan;
mod qcow2;
mod spawn;
mod start;
mod state;
mod step;
mod user;
mod vmm;

pub use error::Error;
pub use guest::{Ended, Guest};
pub use images::Error as ImageError;
pub use memlock::MemlockItem;
pub use outside::NamedFds;
pub use plan::{Plan, Settings};
pub use qcow2::Error as Qcow2Error;
pub use state::{Error as StateError, RUN_DIR};
pub use step::Step;
pub use user::{Error as UserError, User};
