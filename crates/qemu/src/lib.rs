//! QEMU: what it can do, its command line, and its monitor.
//!
//! - [`command_line`] makes the command line of a complete domain. It is pure: it opens nothing,
//!   and the same domain gives the same bytes. What the line needs from outside it holds as
//!   [`Want`]s.
//! - [`Capabilities`] say which machines, devices and properties there are: built in, for a line
//!   that is made without any QEMU, or asked from a real one ([`Capabilities::probe`], kept by a
//!   [`Cache`]).
//! - [`qmp`] is a client of the monitor.
//! - [`explain`] finds the device of the domain that QEMU's last words are about.
//!
//! No device is opened and no guest is started here.

#![forbid(unsafe_code)]

mod capabilities;
mod command_line;
mod explain;
pub mod qmp;
mod text;

pub use capabilities::{Cache, Capabilities, ProbeError, Spawn, Version};
pub use command_line::{
    Access, By, CommandLine, Error, Given, List, NVRAM_DIR, Object, Opt, Paths, Placeholders,
    Resolve, STATE_DIR, Style, Term, Value, Want, What, command_line,
};
pub use explain::{Explanation, explain};
pub use text::{MOST_SHOWN, printable};
