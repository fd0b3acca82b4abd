//! A client of QEMU's monitor protocol (QMP).
//!
//! [`Qmp`] is a state machine that never waits:
//!
//! - [`Qmp::submit`] takes a [`Command`] and returns a [`Ticket`].
//! - [`Qmp::advance`] sends and reads as much as it can without waiting. Call it when poll(2)
//!   reports the socket.
//! - [`Qmp::take_answer`] and [`Qmp::take_event`] return what has come.
//!
//! All pending answers share one time limit; commands that pin memory have none. The client does
//! not trust the VMM. It keeps a bounded number of bytes of the VMM's messages, and errors show a
//! short and printable part of them. [`Answer`] and [`DeviceEvent`] read answers and events as
//! types.
//!
//! [`BlockingQmp`] waits for answers and events, each with a time limit:
//!
//! ```no_run
//! use passthru_qemu::monitor::{BlockingQmp, Command};
//! use std::{os::unix::net::UnixStream, time::Duration};
//!
//! let socket = UnixStream::connect("/run/passthru/vm/monitor.sock")?;
//! let mut qmp = BlockingQmp::connect(socket, Duration::from_secs(5))?;
//! qmp.execute(&Command::Cont)?;
//! qmp.wait_for(&["SHUTDOWN"], Duration::from_secs(60))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod blocking;
mod command;
mod device_event;
mod error;
mod event;
mod input;
mod message;
mod output;
mod password;
mod pending;
mod qmp;

pub use answer::{
    AddedFd, Answer, BlockNode, Drive, FdSet, FdSetMember, QomMember, RunState, RunStatus,
};
pub use blocking::BlockingQmp;
pub use command::Command;
pub use device_event::{DeviceEvent, DeviceName, TrayMove};
pub use error::Error;
pub use event::{Event, Timestamp};
pub use message::MAX_MESSAGE;
pub use password::Expiry;
pub use qmp::{Qmp, Ticket};
