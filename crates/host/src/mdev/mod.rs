//! Mediated devices: devices that a driver of the host makes out of another one.

mod device_id;
mod mediated_claim;
mod mediated_device;
mod mediated_record;
mod uuid;

pub use device_id::{DeviceId, ParseDeviceIdError};
pub use mediated_claim::MediatedClaim;
pub use mediated_device::MediatedDevice;
pub use uuid::{ParseUuidError, Uuid};
