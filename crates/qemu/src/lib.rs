//! QEMU: its capabilities, its command line, and its monitor.
//!
//! - [`command_line`] makes the command line of a complete domain. The function is pure: it opens
//!   nothing, and the same domain gives the same bytes. [`Want`]s stand for the descriptors and
//!   files that the line needs.
//! - [`fragment`] makes the options of one device, as they stand on the command line. [`plug`] and
//!   [`unplug`] turn them into commands for a running QEMU.
//! - [`Capabilities`] list the machines, devices and properties of a QEMU. They are built in, or
//!   probed from a binary by [`Capabilities::probe`]. A [`Cache`] keeps the answers of a binary.
//! - A [`FirmwareCatalog`] lists the firmwares that a domain's firmware is chosen from, each by its
//!   [`FirmwareDescriptor`].
//! - [`monitor`] is a client of the monitor (QMP).
//! - [`explain`] finds the device of the domain that an error message of QEMU is about.
//!
//! The crate opens no device and starts no guest.

#![forbid(unsafe_code)]

mod boot_order;
mod capabilities;
mod check;
mod command_line;
mod context;
mod error;
mod explain;
mod firmware;
mod fragment;
mod hotplug;
mod line;
pub mod monitor;
mod section;
mod text;
mod utc;

pub use capabilities::{Cache, Capabilities, ProbeError, Spawn, Version};
pub use command_line::command_line;
pub use context::{NVRAM_DIR, STATE_DIR, Style};
pub use error::Error;
pub use explain::{Explanation, explain};
pub use firmware::{FirmwareCatalog, FirmwareDescriptor, FirmwareDescriptorError};
pub use fragment::{Fragment, fragment, plug_fragment};
pub use hotplug::{
    Medium, NotPluggable, PlugResolve, PlugStep, Unplug, iommufd_step, medium, next_node, plug,
    unplug,
};
pub use line::{
    Access, CommandLine, FileLocation, FilePassing, List, Object, Opt, Paths, Placeholders,
    PlugPassing, Resolve, Term, Value, Want, WantKind,
};
pub use text::{MOST_SHOWN, printable};
pub use utc::format_utc;
