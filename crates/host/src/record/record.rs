//! Records: the states of taken devices before they were taken. They are files below `/run`, so
//! that a crash loses nothing.
//!
//! A record is written before the first change and removed after the last one. The current owner of
//! a device is not in the record but in the device's [`Claim`](crate::Claim).
//!
//! A record counts only for the device of which it was made. And it counts only while that device
//! is in a state that the recorded change, complete or cut short, leads to.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};

use crate::{Comparison, Device, Error, Host, Identity, make_own_folder, read_own, replace, sysfs};

/// Version of the records that this program writes. Records without a version name no device.
pub(crate) const VERSION: u32 = 1;

/// The driver state of a device before it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerState {
    /// Driver.
    pub driver: Option<String>,
    /// Value of `driver_override`.
    pub driver_override: Option<String>,
}

/// The version of a record, which is parsed before the rest.
#[derive(Deserialize)]
struct RecordVersion {
    #[serde(default)]
    version: u32,
}

/// The validity of a record for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    /// The record counts.
    Valid,
    /// The host has moved the device to another driver meanwhile.
    DriverChanged,
    /// Another device is at the address now.
    DeviceChanged,
}

/// The record of a taken device: its former state, and for whom it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format. 0 stands for records from before there were versions.
    #[serde(default)]
    pub version: u32,
    /// Address of the device.
    pub device: Address,
    /// Identity of the device. `None` only in records of version 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Driver that the device was taken to.
    pub driver: String,
    /// State before the device was taken.
    pub former: FormerState,
    /// Guest for which the device was taken; `None` for a bind by hand.
    pub guest: Option<String>,
    /// Process that took the device.
    pub pid: u32,
    /// Boot in which the device was taken. The record counts only in that boot.
    pub boot_id: String,
    /// Record of an earlier bind by hand, which counts again once the device is given back.
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

impl Record {
    /// Returns this record with the state before the device was first taken, and without an earlier
    /// record.
    pub(crate) fn without_earlier(self) -> Self {
        match self.earlier {
            Some(earlier) => Self {
                former: earlier.without_earlier().former,
                earlier: None,
                ..self
            },
            None => self,
        }
    }

    /// Returns the validity of this record for the device that is now at its address.
    pub(crate) fn validity(&self, device: &Device, identity: &Identity) -> Validity {
        if let Some(recorded) = &self.identity
            && recorded.compare(identity) == Comparison::Different
        {
            return Validity::DeviceChanged;
        }

        if self.covers(device) {
            Validity::Valid
        } else {
            Validity::DriverChanged
        }
    }

    /// Returns whether the recorded change, complete or cut short, leads to the state of a device.
    ///
    /// That is so on the recorded driver and on the former one. Without a driver, it is so if the
    /// override is that of either.
    fn covers(&self, device: &Device) -> bool {
        let Some(driver) = &device.driver else {
            let current = device.driver_override.as_ref();
            return current == Some(&self.driver)
                || current == self.former.driver_override.as_ref();
        };
        *driver == self.driver || self.former.driver.as_ref() == Some(driver)
    }
}

impl Host {
    /// Reads the record of a device; `None` if the device was not taken in this boot.
    ///
    /// # Errors
    /// - [`Error::Read`], if the record cannot be read.
    /// - [`Error::BadRecord`] or [`Error::NewerRecord`], if it cannot be parsed.
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

    /// Reads the record of a device; `None` if it does not count for the device.
    pub(crate) fn valid_record(
        &self,
        device: &Device,
        identity: &Identity,
    ) -> Result<Option<Record>, Error> {
        let record = self.record(device.address)?;
        Ok(record.filter(|record| record.validity(device, identity) == Validity::Valid))
    }

    /// Writes a record, as a whole or not at all. The caller must have the device's claim.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path(record.device);
        let text = serde_json::to_vec_pretty(record).map_err(|source| Error::BadRecord {
            path: path.clone(),
            source,
        })?;
        replace(&path, &text).map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })
    }

    pub(crate) fn remove_record(&self, device: Address) -> Result<(), Error> {
        let path = self.record_path(device);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::File {
                action: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Creates the folder of the records, which only its owner can read.
    pub(crate) fn make_records(&self) -> Result<(), Error> {
        for (path, mode) in [(self.path("run/passthru"), 0o755), (self.records(), 0o700)] {
            make_own_folder(&path, mode).map_err(|source| Error::File {
                action: "make",
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
    match serde_json::from_slice(text) {
        Ok(RecordVersion { version }) if version > VERSION => Err(Error::NewerRecord {
            path,
            version,
            known: VERSION,
        }),
        Ok(RecordVersion { .. }) => {
            serde_json::from_slice(text).map_err(|source| Error::BadRecord { path, source })
        }
        Err(source) => Err(Error::BadRecord { path, source }),
    }
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

    fn mode(tree: &Tree, path: &str) -> u32 {
        fs::metadata(tree.path(path)).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn record_is_read_back_and_closed_to_others() {
        let tree = host();
        let record = record(Some("guest"), "this-boot");
        tree.host().write_record(&record).unwrap();
        assert_eq!(tree.host().record(record.device).unwrap(), Some(record));
        assert_eq!(mode(&tree, "run/passthru/devices/0000:01:00.0.json"), 0o600);
        assert_eq!(mode(&tree, "run/passthru/devices"), 0o700);
        assert_eq!(mode(&tree, "run/passthru"), 0o755);
    }

    #[test]
    fn record_of_an_earlier_boot_does_not_count() {
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
    fn damaged_record_is_an_error_that_names_it() {
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

        assert_eq!(record.version, 0);
        assert_eq!(record.identity, None);
    }

    /// Returns the validity of a record from `nvme` to `vfio-pci` for a device in another state.
    fn validity(driver: Option<&str>, driver_override: Option<&str>) -> Validity {
        let tree = host();
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", driver, 1);
        if let Some(text) = driver_override {
            tree.file(&format!("{dir}/driver_override"), text);
        }
        let record = record(Some("guest"), "this-boot");
        let host = tree.host();
        let device = host.device(record.device).unwrap();
        record.validity(&device, &host.identity(record.device).unwrap())
    }

    #[test]
    fn record_counts_in_each_state_of_its_change() {
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
