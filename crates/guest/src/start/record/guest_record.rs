//! The record of one guest.

use std::path::PathBuf;

use passthru_domain::Domain;
use passthru_host::{Comparison, Identity};
use passthru_pci::Address;
use passthru_qemu::FirmwareDescriptor;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::start::user::NOBODY;

/// Version of the records that this program writes and reads.
const VERSION: u32 = 1;

/// Facts about a guest that are kept until the guest is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRecord {
    version: u32,
    /// Name of the guest.
    pub name: String,
    /// The guest's own user and group, from the configured range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Ids>,
    /// User and group that the caller named at the last start, instead of the guest's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Ids>,
    /// Devices of the last start, each at the address that the domain named.
    #[serde(default)]
    pub devices: Vec<Identity>,
    /// Firmware of the last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
}

/// Numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The firmware of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firmware {
    /// Path of the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// Path of the file of variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvram: Option<String>,
    /// Path of the template of the variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Descriptor by which the firmware was chosen. Later starts prefer this descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<FirmwareDescriptor>,
}

/// The version of a record.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl GuestRecord {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            version: VERSION,
            name: name.into(),
            own: None,
            named: None,
            devices: Vec::new(),
            firmware: None,
        }
    }

    /// Returns the identity of the device that the guest had at an address.
    pub fn device(&self, address: Address) -> Option<&Identity> {
        self.devices
            .iter()
            .find(|identity| identity.address == address)
    }

    /// Returns whether a user id belongs to the guest.
    pub(crate) fn has_uid(&self, uid: u32) -> bool {
        [self.own, self.named]
            .into_iter()
            .flatten()
            .any(|ids| ids.uid == uid)
    }

    /// Notes the devices of a start, with the serial numbers that are known from earlier starts.
    /// Drops devices that the start does not have: the host may use them otherwise now.
    pub(crate) fn note_devices(&mut self, devices: Vec<Identity>) {
        let earlier = std::mem::take(&mut self.devices);
        for identity in devices {
            let before = earlier.iter().find(|before| {
                before.address == identity.address && is_possible(&identity, before)
            });
            let noted = match before {
                Some(before) => identity.merged(before),
                None => identity,
            };
            self.devices.push(noted);
        }

        self.devices.sort_by_key(|identity| identity.address);
    }
}

impl Firmware {
    /// Returns the firmware of a domain and the descriptor by which it was chosen; `None` if the
    /// domain names no file of it.
    pub(crate) fn new(domain: &Domain, descriptor: Option<FirmwareDescriptor>) -> Option<Self> {
        let loader = domain
            .os
            .loader
            .as_ref()
            .and_then(|loader| loader.path.clone());
        let nvram = domain.os.variables();
        let varstore = domain.os.varstore.as_ref();
        let own = nvram.and_then(|nvram| nvram.path.clone());
        let template = nvram.and_then(|nvram| nvram.template.clone());
        let firmware = Self {
            loader,
            nvram: own.or_else(|| varstore?.path.clone()),
            template: template.or_else(|| varstore?.template.clone()),
            descriptor,
        };
        (firmware != Self::default()).then_some(firmware)
    }
}

/// Returns whether two identities can belong to the same device.
pub(crate) fn is_possible(one: &Identity, other: &Identity) -> bool {
    one.compare(other) != Comparison::Different
}

/// Parses the record of the guest `name`, which was read from `path`.
///
/// # Errors
/// - If the record has another version, then [`Error::Version`].
/// - If the record is not one of this guest, then [`Error::Damaged`].
pub(super) fn parse(text: &[u8], path: PathBuf, name: &str) -> Result<GuestRecord, Error> {
    let parsed = serde_json::from_slice(text).and_then(|Version { version }| {
        if version == VERSION {
            parse_current(text, name).map(Ok)
        } else {
            Ok(Err(version))
        }
    });
    match parsed {
        Ok(Ok(record)) => Ok(record),
        Ok(Err(version)) => Err(Error::Version {
            path,
            name: name.into(),
            version,
            known: VERSION,
        }),
        Err(source) => Err(Error::Damaged {
            path,
            name: name.into(),
            source,
        }),
    }
}

/// Parses a record of the current version, and checks its name and ids.
fn parse_current(text: &[u8], name: &str) -> serde_json::Result<GuestRecord> {
    let record: GuestRecord = serde_json::from_slice(text)?;
    if record.name != name {
        let message = format!("it is a record of guest '{}'", record.name);
        return Err(serde::de::Error::custom(message));
    }

    for ids in record.own.iter().chain(&record.named) {
        // The kernel reads the highest number as "no change".
        if [0, NOBODY, u32::MAX].contains(&ids.uid) || [0, u32::MAX].contains(&ids.gid) {
            let message = format!("no guest runs as user {} and group {}", ids.uid, ids.gid);
            return Err(serde::de::Error::custom(message));
        }
    }

    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(serial: Option<&str>) -> Identity {
        let mut json = serde_json::json!({"address": "0000:01:00.0", "vendor": 1, "device": 2,
            "subsystem_vendor": 3, "subsystem_device": 4});
        if let Some(serial) = serial {
            json["nvme_serial"] = serial.into();
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn device_keeps_serial_numbers_that_were_seen_before() {
        let mut record = GuestRecord::new("vm");
        record.note_devices(vec![identity(Some("A"))]);
        record.note_devices(vec![identity(None)]);
        assert_eq!(record.devices, [identity(Some("A"))]);

        record.note_devices(vec![identity(Some("B"))]);
        assert_eq!(record.devices, [identity(Some("B"))]);
    }

    #[test]
    fn device_of_no_later_start_is_dropped() {
        let mut record = GuestRecord::new("vm");
        let other = Identity {
            address: "02:00.0".parse().unwrap(),
            ..identity(Some("C"))
        };
        record.note_devices(vec![identity(Some("A")), other.clone()]);
        record.note_devices(vec![other.clone()]);

        assert_eq!(record.devices, [other]);
    }
}
