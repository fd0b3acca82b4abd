//! Devices of a running guest: their document, and a domain with or without them.
//!
//! A running guest keeps its controllers. So a device gets a free slot of a bus that the guest has,
//! and never a new bus.

mod document;
mod kind;
mod medium;
mod plug;
mod slot;
mod unplug;

pub use document::DeviceDocument;
pub use plug::Plugged;
pub use unplug::Unplugged;
