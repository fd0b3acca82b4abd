//! Records: what a device was like before it was taken, kept below `/run` so that a crash loses
//! nothing.
//!
//! A record is written before the first change and removed after the last one. It says nothing
//! about who has the device now: that is its [`Claim`](crate::Claim). It counts only for the device
//! that it was made of, and only while that device is where the record, or a change cut short,
//! would have it.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};

use crate::{Comparison, Device, Error, Host, Identity, make_own_folder, read_own, replace, sysfs};

/// RecordVersion of the records that this program writes. Records without a version name no device.
pub(crate) const VERSION: u32 = 1;

/// How a device was before it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerState {
    /// Driver that held it.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
}

/// RecordVersion of a record, read before anything else of it.
#[derive(Deserialize)]
struct RecordVersion {
    #[serde(default)]
    version: u32,
}

/// Answer to whether a record counts for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// It counts.
    Valid,
    /// The host has moved the device on to another driver meanwhile.
    DriverChanged,
    /// Another device is at the address now.
    DeviceChanged,
}

/// That a device was taken, and how to give it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// RecordVersion of the format. 0 stands for records from before there were versions.
    #[serde(default)]
    pub version: u32,
    /// The device.
    pub device: Address,
    /// Identity of the device. Only records of version 0 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Driver that it was to be on.
    pub driver: String,
    /// How it was before.
    pub former: FormerState,
    /// Guest that it was taken for; `None` where it was taken until further notice.
    pub guest: Option<String>,
    /// Process that took it.
    pub pid: u32,
    /// The boot in which it was taken. The record says nothing about any other.
    pub boot_id: String,
    /// The record that holds again once the device is given back: it was taken until further notice
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Box<Record>>,
}

impl FormerState {
    pub(crate) fn from_device(device: &Device) -> Self {
        Self {
            driver: device.driver.clone(),
            driver_override: device.driver_override.clone(),
        }
    }

    /// How a device goes back that is taken now, and the record that holds then. What was taken
    /// until further notice goes back to that; where somebody crashed who had the device, to where
    /// they would have given it back.
    pub(crate) fn before_taking(
        device: &Device,
        record: Option<Record>,
    ) -> (Self, Option<Box<Record>>) {
        match record {
            Some(record) if record.guest.is_none() && device.on_vfio() => (
                Self::from_device(device),
                Some(Box::new(record.whole_way())),
            ),
            Some(record) => (record.former, record.earlier),
            None => (Self::from_device(device), None),
        }
    }
}

impl Record {
    /// The same record, but going back to how the device was before it was first taken.
    pub(crate) fn whole_way(self) -> Self {
        match self.earlier {
            Some(earlier) => Self {
                former: earlier.whole_way().former,
                earlier: None,
                ..self
            },
            None => self,
        }
    }

    /// Returns whether this record counts for the device that is at the address now.
    pub(crate) fn validity(&self, device: &Device, identity: &Identity) -> Validity {
        let known = self
            .identity
            .as_ref()
            .map(|recorded| recorded.compare(identity));
        match known {
            Some(Comparison::Different) => Validity::DeviceChanged,
            _ if self.covers(device) => Validity::Valid,
            _ => Validity::DriverChanged,
        }
    }

    /// Returns whether a device is as this record, or a change cut short, would have it: on the
    /// recorded driver, still on the former one, or on none with the override that one of the two
    /// has.
    fn covers(&self, device: &Device) -> bool {
        let Some(driver) = &device.driver else {
            let set = device.driver_override.as_ref();
            return set == Some(&self.driver) || set == self.former.driver_override.as_ref();
        };
        *driver == self.driver || self.former.driver.as_ref() == Some(driver)
    }
}

impl Host {
    /// Returns the record of a device, if it was taken in this boot.
    ///
    /// # Errors
    /// [`Error::BadRecord`] and [`Error::NewerRecord`]; [`Error::Read`] if it cannot be read.
    pub fn record(&self, device: Address) -> Result<Option<Record>, Error> {
        let path = self.record_path(device);
        let text = match read_own(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let record = parse(&text, path)?;
        Ok(Some(record).filter(|record| record.boot_id == self.boot_id()))
    }

    /// Returns the record of a device if it counts for the device that is there now.
    pub(crate) fn valid_record(
        &self,
        device: &Device,
        identity: &Identity,
    ) -> Result<Option<Record>, Error> {
        let record = self.record(device.address)?;
        Ok(record.filter(|record| record.validity(device, identity) == Validity::Valid))
    }

    /// Writes a record as a whole or not at all. The caller has the device's claim.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path(record.device);
        let text = serde_json::to_vec_pretty(record).map_err(|source| Error::BadRecord {
            path: path.clone(),
            source,
        })?;
        replace(&path, &text).map_err(|source| Error::File {
            what: "write",
            path,
            source,
        })
    }

    pub(crate) fn remove_record(&self, device: Address) -> Result<(), Error> {
        let path = self.record_path(device);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File {
                what: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Makes the folder of the records, for root alone.
    pub(crate) fn make_records(&self) -> Result<(), Error> {
        for (path, mode) in [(self.path("run/passthru"), 0o755), (self.records(), 0o700)] {
            make_own_folder(&path, mode).map_err(|source| Error::File {
                what: "make",
                path,
                source,
            })?;
        }
        Ok(())
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.path("run/passthru/devices")
    }

    pub(crate) fn boot_id(&self) -> String {
        sysfs::read(self.path("proc/sys/kernel/random/boot_id")).unwrap_or_default()
    }

    fn record_path(&self, device: Address) -> PathBuf {
        self.records().join(format!("{device}.json"))
    }
}

fn parse(text: &[u8], path: PathBuf) -> Result<Record, Error> {
    let bad = |source| Error::BadRecord {
        path: path.clone(),
        source,
    };
    let RecordVersion { version } = serde_json::from_slice(text).map_err(bad)?;
    if version > VERSION {
        return Err(Error::NewerRecord {
            path,
            version,
            known: VERSION,
        });
    }
    serde_json::from_slice(text).map_err(bad)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_tree::Tree;

    fn record(guest: Option<&str>, boot_id: &str) -> Record {
        Record {
            version: VERSION,
            device: "01:00.0".parse().unwrap(),
            identity: None,
            driver: "vfio-pci".into(),
            former: FormerState {
                driver: Some("nvme".into()),
                driver_override: None,
            },
            guest: guest.map(str::to_owned),
            pid: 42,
            boot_id: boot_id.into(),
            earlier: None,
        }
    }

    fn host() -> Tree {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        tree.host().make_records().unwrap();
        tree
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_for_root_alone() {
        let tree = host();
        let record = record(Some("guest"), "this-boot");
        tree.host().write_record(&record).unwrap();
        assert_eq!(tree.host().record(record.device).unwrap(), Some(record));
        let mode = |path: &str| fs::metadata(tree.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("run/passthru/devices/0000:01:00.0.json"), 0o600);
        assert_eq!(mode("run/passthru/devices"), 0o700);
        assert_eq!(mode("run/passthru"), 0o755);
    }

    #[test]
    fn a_record_of_an_earlier_boot_says_nothing() {
        let tree = host();
        tree.host()
            .write_record(&record(Some("guest"), "earlier-boot"))
            .unwrap();
        assert_eq!(
            tree.host().record("01:00.0".parse().unwrap()).unwrap(),
            None
        );
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let tree = host();
        tree.file("run/passthru/devices/0000:01:00.0.json", "{");
        let error = tree.host().record("01:00.0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("0000:01:00.0.json"), "{error}");
    }

    #[test]
    fn record_of_a_newer_version_is_named_and_not_used() {
        let tree = host();
        tree.file(
            "run/passthru/devices/0000:01:00.0.json",
            r#"{"version": 2, "device": [1]}"#,
        );
        let error = tree.host().record("01:00.0".parse().unwrap()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NewerRecord {
                    version: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("0000:01:00.0.json"), "{error}");
    }

    #[test]
    fn record_without_a_version_is_read() {
        let tree = host();
        let text = r#"{"device": "0000:01:00.0", "driver": "vfio-pci", "guest": "vm", "pid": 7,
            "former": {"driver": "nvme", "driver_override": null}, "boot_id": "this-boot"}"#;
        tree.file("run/passthru/devices/0000:01:00.0.json", text);
        let record = tree
            .host()
            .record("01:00.0".parse().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!((record.version, record.identity), (0, None));
    }

    /// Compares a record `vfio-pci` from `nvme` with a device on another driver.
    fn validity(driver: Option<&str>, set: Option<&str>) -> Validity {
        let tree = host();
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", driver, 1);
        if let Some(set) = set {
            tree.file(&format!("{dir}/driver_override"), set);
        }
        let record = record(Some("guest"), "this-boot");
        let host = tree.host();
        let device = host.device(record.device).unwrap();
        record.validity(&device, &host.identity(record.device).unwrap())
    }

    #[test]
    fn record_counts_while_the_device_is_where_it_says() {
        assert_eq!(validity(Some("vfio-pci"), None), Validity::Valid);
        assert_eq!(validity(Some("nvme"), Some("vfio-pci")), Validity::Valid);
        assert_eq!(validity(None, Some("vfio-pci")), Validity::Valid);
        assert_eq!(validity(None, None), Validity::Valid);
        assert_eq!(
            validity(None, Some("uio_pci_generic")),
            Validity::DriverChanged
        );
        assert_eq!(
            validity(Some("mlx5_vfio_pci"), None),
            Validity::DriverChanged
        );
    }

    #[test]
    fn record_of_another_device_does_not_count() {
        let tree = host();
        tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", Some("vfio-pci"), 1);
        let host = tree.host();
        let device = host.device("01:00.0".parse().unwrap()).unwrap();
        let identity = host.identity(device.address).unwrap();
        let other = Identity {
            device: 7,
            ..identity.clone()
        };
        let record = Record {
            identity: Some(other),
            ..record(None, "this-boot")
        };
        assert_eq!(record.validity(&device, &identity), Validity::DeviceChanged);
        host.write_record(&record).unwrap();
        assert_eq!(host.valid_record(&device, &identity).unwrap(), None);
    }
}
