//! Changes of a running guest's devices, as transactions: whole or not at all.
//!
//! A transaction never waits. Its owner advances it when the monitor has a message, when a deadline
//! is over, and then again.

mod error;
mod job;
mod memlock;
mod news;
mod removal;
mod wait;

pub use error::HotplugError;
