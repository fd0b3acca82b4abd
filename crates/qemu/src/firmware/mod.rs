//! QEMU's firmware descriptors (`docs/interop/firmware.json` of QEMU). Nothing here reads a file.

mod descriptor;
mod glob;
mod well_known;

pub use descriptor::{Descriptor, DescriptorError};
