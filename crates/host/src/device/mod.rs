//! PCI devices: their attributes, identity, names, drivers and device numbers.

#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod device;
mod driver;
mod identity;
mod modalias;
mod names;
mod number;
mod serial;

pub use device::{Device, Sriov, parse_device};
pub(crate) use driver::expect_vfio;
pub use identity::{Comparison, Identity};
pub use names::Names;
pub(crate) use number::DeviceNumber;
