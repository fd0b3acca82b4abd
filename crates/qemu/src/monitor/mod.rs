//! A client of QEMU's monitor protocol (QMP): a state machine that never waits.
//!
//! [`Qmp::submit`] takes a command and gives a [`Ticket`]; [`Qmp::advance`] sends and reads what
//! goes at once, to be called when poll(2) reports the socket; [`Qmp::take_answer`] and
//! [`Qmp::take_event`] give what came. All waiting answers have one time limit together, but for
//! commands that pin memory, which have none. A VMM is not trusted: what is kept of its words is
//! bounded in bytes, and what errors show of them is short and printable.
//!
//! Callers without a loop of their own use [`Qmp::connect`], [`Qmp::execute`], [`Qmp::wait_for`]
//! and [`Qmp::next_event`], which wait, each with a time limit.
//!
//! ```no_run
//! use passthru_qemu::monitor::Qmp;
//! use serde_json::json;
//! use std::{os::unix::net::UnixStream, time::Duration};
//!
//! let mut qmp = Qmp::connect(UnixStream::connect("/run/passthru/vm/monitor.sock")?, Duration::from_secs(5))?;
//! qmp.execute("cont", json!({}))?;
//! qmp.wait_for(&["SHUTDOWN"], Duration::from_secs(60))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod event;
mod input;
mod message;
mod output;
mod pending;
mod qmp;
mod wait;

pub use error::Error;
pub use event::{Event, Timestamp};
pub use message::MAX_MESSAGE;
pub use qmp::{Qmp, Ticket};
