//! QEMU: what it can do, its command line, and its monitor.
//!
//! - [`command_line`] makes the command line of a complete domain. It is pure: it opens nothing,
//!   and the same domain gives the same bytes. What the line needs from outside it holds as
//!   [`Want`]s.
//! - [`Capabilities`] say which machines, devices and properties there are: built in, for a line
//!   that is made without any QEMU, or asked from a real one ([`Capabilities::probe`], kept by a
//!   [`Cache`]).
//! - [`monitor`] is a client of the monitor.
//! - [`explain`] finds the device of the domain that QEMU's last words are about.
//!
//! No device is opened and no guest is started here.

#![forbid(unsafe_code)]

mod boot_order;
mod capabilities;
mod check;
mod command_line;
mod context;
mod error;
mod explain;
mod fragment;
mod line;
pub mod monitor;
mod section;
mod text;

pub use capabilities::{Cache, Capabilities, ProbeError, Spawn, Version};
pub use command_line::command_line;
pub use context::{NVRAM_DIR, STATE_DIR, Style};
pub use error::Error;
pub use explain::{Explanation, explain};
pub use fragment::{Fragment, fragment};
pub use line::{
    Access, By, CommandLine, Given, List, Object, Opt, Paths, Placeholders, Resolve, Term, Value,
    Want, What,
};
pub use text::{MOST_SHOWN, printable};
