//! The driver state of a device before it was taken.

use serde::{Deserialize, Serialize};

use crate::{Device, Record};

/// The driver state of a device before it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerState {
    /// Driver.
    pub driver: Option<String>,
    /// Value of `driver_override`.
    pub driver_override: Option<String>,
}

impl FormerState {
    pub(crate) fn from_device(device: &Device) -> Self {
        Self {
            driver: device.driver.clone(),
            driver_override: device.driver_override.clone(),
        }
    }

    /// Returns the state to which a device goes back if it is taken now, and the record that counts
    /// then.
    ///
    /// - If the device was bound by hand, then it goes back to that state.
    /// - If a guest crashed, then the device goes back to the state before that guest.
    /// - Otherwise, the device goes back to its current state.
    pub(crate) fn before_taking(
        device: &Device,
        record: Option<Record>,
    ) -> (Self, Option<Box<Record>>) {
        match record {
            Some(record) if record.guest.is_none() && device.on_vfio() => (
                Self::from_device(device),
                Some(Box::new(record.without_earlier())),
            ),
            Some(record) => (record.former, record.earlier),
            None => (Self::from_device(device), None),
        }
    }
}
