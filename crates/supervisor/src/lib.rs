//! The supervisor of a guest: one process a guest, with one poll loop.
//!
//! A [`Supervisor`] is that loop. It stays with a [`Guest`](passthru_guest::Guest) until its VMM
//! has ended. The other parts are:
//!
//! - A [`Foreground`] is the user's terminal, or the signals alone.
//! - [`control`] is the guest's control socket, with its server and its client.
//! - An [`EventFan`] passes the guest's events to the clients that listen.
//! - A [`StatusFile`] holds the [`Status`] of the guest, which is read without asking any process.
//! - A [`survey`] lists the guests by these files.
//! - [`PinnedMemory`] is the memory that a process has pinned.
//!
//! No part waits in the loop, and none prints or reads the environment.

mod attend;
pub mod control;
mod event_fan;
mod pinned;
mod status;
mod survey;
mod sys;

pub use attend::{Explain, Foreground, Settings, Supervisor, open_console};
pub use event_fan::EventFan;
pub use pinned::PinnedMemory;
pub use status::{Attendance, GuestState, Status, StatusFile};
pub use survey::{SurveyedGuest, survey};
