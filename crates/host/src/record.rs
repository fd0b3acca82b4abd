//! Records: what a device was like before it was taken, kept below `/run` so that a crash loses nothing.
//!
//! A record is written before the first change and removed after the last one. It says nothing about who has the
//! device now: that is its [`Claim`](crate::Claim).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use passthru_pci::Address;
use serde::{Deserialize, Serialize};

use crate::{Device, Error, Host, sysfs};

/// How a device was before it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Driver that held it.
    pub driver: Option<String>,
    /// Its `driver_override`.
    pub driver_override: Option<String>,
}

/// That a device was taken, and how to give it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The device.
    pub device: Address,
    /// Driver that it was to be on.
    pub driver: String,
    /// How it was before.
    pub former: Former,
    /// Guest that it was taken for; `None` where it was taken until further notice.
    pub guest: Option<String>,
    /// Process that took it.
    pub pid: u32,
    /// The boot in which it was taken. The record says nothing about any other.
    pub boot_id: String,
    /// The record that holds again once the device is given back: it was taken until further notice before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Box<Record>>,
}

impl Former {
    pub(crate) fn of(device: &Device) -> Self {
        Self { driver: device.driver.clone(), driver_override: device.driver_override.clone() }
    }

    /// How a device goes back that is taken now, and the record that holds then. What was taken until further notice
    /// goes back to that; where somebody crashed who had the device, to where they would have given it back.
    pub(crate) fn before(device: &Device, record: Option<Record>) -> (Self, Option<Box<Record>>) {
        match record {
            Some(record) if record.guest.is_none() && device.on_vfio() => {
                (Self::of(device), Some(Box::new(record.whole_way())))
            }
            Some(record) => (record.former, record.earlier),
            None => (Self::of(device), None),
        }
    }
}

impl Record {
    /// The same record, but going back to how the device was before it was first taken.
    pub(crate) fn whole_way(self) -> Self {
        match self.earlier {
            Some(earlier) => Self { former: earlier.whole_way().former, earlier: None, ..self },
            None => self,
        }
    }

    /// Says whether a device is as this record, or a change cut short, would have it: on the recorded driver, on
    /// none, or still on the former one. On any other driver, the host has moved on.
    pub(crate) fn covers(&self, device: &Device) -> bool {
        let known = |driver: &String| self.driver == *driver || self.former.driver.as_ref() == Some(driver);
        device.driver.as_ref().is_none_or(known)
    }
}

impl Host {
    /// Returns the record of a device, if it was taken in this boot.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn record(&self, device: Address) -> Result<Option<Record>, Error> {
        let path = self.record_path(device);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let record: Record =
            serde_json::from_slice(&text).map_err(|source| Error::BadRecord { path, source })?;
        Ok(Some(record).filter(|record| record.boot_id == self.boot_id()))
    }

    /// Lists the devices that were taken for a guest which has ended without giving them back.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn stale(&self) -> Result<Vec<Record>, Error> {
        let mut stale = Vec::new();
        for name in sysfs::names(self.records()) {
            let Some(device) = name.strip_suffix(".json").and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Some(record) = self.record(device)? else { continue };
            if record.guest.is_some() && self.owner(device).is_none() {
                stale.push(record);
            }
        }
        Ok(stale)
    }

    /// Writes a record as a whole or not at all. The caller has the device's claim.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path(record.device);
        let new = path.with_extension("new");
        let text = serde_json::to_vec_pretty(record)
            .map_err(|source| Error::BadRecord { path: path.clone(), source })?;
        let failed = |source| Error::File { what: "write", path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)
    }

    pub(crate) fn remove_record(&self, device: Address) -> Result<(), Error> {
        let path = self.record_path(device);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(Error::File { what: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes the folder of the records, for root alone.
    pub(crate) fn make_records(&self) -> Result<(), Error> {
        for (path, mode) in [(self.path("run/passthru"), 0o755), (self.records(), 0o700)] {
            DirBuilder::new().recursive(true).mode(mode).create(&path).map_err(|source| Error::File {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_tree::Tree;

    fn record(guest: Option<&str>, boot_id: &str) -> Record {
        Record {
            device: "01:00.0".parse().unwrap(),
            driver: "vfio-pci".into(),
            former: Former { driver: Some("nvme".into()), driver_override: None },
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
        tree.host().write_record(&record(Some("guest"), "earlier-boot")).unwrap();
        assert_eq!(tree.host().record("01:00.0".parse().unwrap()).unwrap(), None);
        assert_eq!(tree.host().stale().unwrap(), []);
    }

    #[test]
    fn a_device_bound_until_further_notice_is_not_stale() {
        let tree = host();
        tree.host().write_record(&record(None, "this-boot")).unwrap();
        assert_eq!(tree.host().stale().unwrap(), []);
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_it() {
        let tree = host();
        tree.file("run/passthru/devices/0000:01:00.0.json", "{");
        let error = tree.host().record("01:00.0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("0000:01:00.0.json"), "{error}");
    }
}
