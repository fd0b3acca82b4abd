//! The name of a device that VFIO can give to a guest.

use std::fmt;
use std::str::FromStr;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};

use super::uuid::Uuid;

/// The name of a device that VFIO can give to a guest.
///
/// The text, also the serialized one, is that of the address or of the UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceId {
    /// A PCI function.
    Pci(Address),
    /// A mediated device.
    Mdev(Uuid),
}

/// A text that names neither a PCI function nor a mediated device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is neither a PCI address nor a UUID")]
pub struct ParseDeviceIdError {
    text: String,
}

impl FromStr for DeviceId {
    type Err = ParseDeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(uuid) = text.parse() {
            return Ok(Self::Mdev(uuid));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Pci(address)),
            Err(_) => Err(ParseDeviceIdError { text: text.into() }),
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Mdev(uuid) => uuid.fmt(f),
        }
    }
}

impl From<Address> for DeviceId {
    fn from(address: Address) -> Self {
        Self::Pci(address)
    }
}

impl From<Uuid> for DeviceId {
    fn from(uuid: Uuid) -> Self {
        Self::Mdev(uuid)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = ParseDeviceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_id_reads_back_from_its_text() {
        for text in ["0000:01:00.0", "0fb4f2d1-509f-382f-3c1e-e6bfe0fa1001"] {
            let id: DeviceId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), id);
        }

        let error = "mtty".parse::<DeviceId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'mtty' is neither a PCI address nor a UUID"
        );
    }
}
