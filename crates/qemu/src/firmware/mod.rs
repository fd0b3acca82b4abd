//! The choice of a guest's firmware, by QEMU's firmware descriptors
//! (`docs/interop/firmware.json` of QEMU). Nothing here reads a file.

mod catalog;
mod choice;
mod descriptor;
mod glob;
mod request;
#[cfg(test)]
mod tests;
mod well_known;

pub use catalog::FirmwareCatalog;
pub use descriptor::{FirmwareDescriptor, FirmwareDescriptorError};
