//! Capabilities of a QEMU: its machines, devices and properties.

mod boards;
mod cache;
mod dmi;
mod emulator;
mod error;
mod nodes;
mod probe;
mod probed;

pub(crate) use boards::target_of_arch;
pub use cache::Cache;
pub(crate) use dmi::TABLES as DMI_TABLES;
pub use emulator::Capabilities;
pub use error::ProbeError;
pub use probe::Spawn;
#[cfg(test)]
pub(crate) use probed::Probed;
pub use probed::Version;
