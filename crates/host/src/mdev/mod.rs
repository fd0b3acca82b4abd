//! Mediated devices: devices that a driver of the host makes out of another one.

mod device_id;
mod mediated_device;
mod uuid;

pub use device_id::{DeviceId, ParseDeviceIdError};
pub use mediated_device::MediatedDevice;
pub use uuid::{ParseUuidError, Uuid};
