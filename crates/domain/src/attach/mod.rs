//! Devices of a running guest.

mod document;
mod kind;

pub use document::DeviceDocument;
