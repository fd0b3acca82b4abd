//! Records: the states of taken devices before they were taken. They are files below `/run`, so
//! that a crash loses nothing.
//!
//! A record is written before the first change and removed after the last one. The current owner of
//! a device is not in the record but in the device's [`Claim`](crate::Claim).
//!
//! A record counts only for the device of which it was made. And it counts only while that device
//! is in a state that the recorded change, complete or cut short, leads to.
//!
//! A record also names the VMM that has the device. A device that was on its VFIO driver before has
//! a record only for that: a note, whose removal changes no driver.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use passthru_pci::Address;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::former_state::FormerState;
use crate::{
    Comparison, Device, DeviceId, Error, Host, Identity, Owner, ProcessId, make_own_folder,
    read_own, replace, sysfs,
};

/// Version of the records that this program writes. Records without a version name no device, and
/// those of version 1 no VMM.
pub(crate) const VERSION: u32 = 2;

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
    /// VMM of the guest that has the device. While it may live, the device belongs to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmm: Option<ProcessId>,
    /// State in which a crashed guest left the device before this guest took it, if that is not the
    /// former state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<FormerState>,
    /// Record of an earlier bind by hand, which counts again once the device is given back. Below a
    /// note, it may also be that of a crashed guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Box<Record>>,
}

impl Record {
    /// Makes the record of a device that `owner` takes, without the device's identity.
    pub(crate) fn for_owner(
        host: &Host,
        owner: &Owner,
        device: Address,
        driver: &str,
        former: FormerState,
    ) -> Self {
        Self {
            version: VERSION,
            device,
            identity: None,
            driver: driver.into(),
            former,
            guest: owner.guest.clone(),
            pid: owner.pid,
            boot_id: host.boot_id(),
            vmm: None,
            left: None,
            earlier: None,
        }
    }

    /// Returns whether the device was taken for a guest.
    pub fn is_of(&self, guest: &str) -> bool {
        self.guest.as_deref() == Some(guest)
    }

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

    /// Returns whether this record only notes which VMM has the device: the device was on this
    /// driver before, and stays there. A device that was taken from a third driver can go back to
    /// this one too, but then `left` names that driver.
    pub(crate) fn is_note(&self) -> bool {
        let stays = self.former.driver.as_ref() == Some(&self.driver);
        self.vmm.is_some() && self.left.is_none() && stays
    }

    /// Returns this record, or for a note the record from before it.
    pub(crate) fn without_note(self) -> Option<Self> {
        if self.is_note() {
            self.earlier.map(|earlier| *earlier)
        } else {
            Some(self)
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
    /// That is so on the recorded driver, on the former one, and on the one that a crashed guest
    /// left. Without a driver, it is so if the override is that of any of them.
    fn covers(&self, device: &Device) -> bool {
        let mut before = [Some(&self.former), self.left.as_ref()]
            .into_iter()
            .flatten();
        match &device.driver {
            Some(driver) => {
                *driver == self.driver || before.any(|state| state.driver.as_ref() == Some(driver))
            }
            None => {
                let current = device.driver_override.as_ref();
                current == Some(&self.driver)
                    || before.any(|state| current == state.driver_override.as_ref())
            }
        }
    }
}

impl Host {
    /// Reads the record of a device; `None` if the device was not taken in this boot.
    ///
    /// # Errors
    /// - [`Error::Read`], if the record cannot be read.
    /// - [`Error::BadRecord`] or [`Error::NewerRecord`], if it cannot be parsed.
    pub fn record(&self, device: Address) -> Result<Option<Record>, Error> {
        let record = self.record_of_any_boot(device)?;
        Ok(record.filter(|record| record.boot_id == self.boot_id()))
    }

    /// Reads the record of a device, whenever the device was taken.
    pub(crate) fn record_of_any_boot(&self, device: Address) -> Result<Option<Record>, Error> {
        read_record(self.record_path(device.into()), VERSION)
    }

    /// Reads the record of a device with the state that the device goes back to. Returns `None` if
    /// the record does not count for the device.
    pub(crate) fn valid_record(
        &self,
        device: &Device,
        identity: &Identity,
    ) -> Result<Option<Record>, Error> {
        let record = self.record(device.address)?;
        let record = record.filter(|record| record.validity(device, identity) == Validity::Valid);
        Ok(record.and_then(Record::without_note))
    }

    /// Writes a record, as a whole or not at all. The caller must have the device's claim.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), Error> {
        write_record(self.record_path(record.device.into()), record)
    }

    pub(crate) fn remove_record(&self, device: Address) -> Result<(), Error> {
        self.remove_record_of(device.into())
    }

    /// Removes the record of a device of any kind, if there is one.
    pub(crate) fn remove_record_of(&self, device: DeviceId) -> Result<(), Error> {
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

    /// Returns whether a device has a record, of any boot.
    pub(crate) fn has_record(&self, device: Address) -> bool {
        self.record_path(device.into()).exists()
    }

    pub(crate) fn record_path(&self, device: DeviceId) -> PathBuf {
        self.records().join(format!("{device}.json"))
    }
}

/// Reads a record of a version up to `known`; `None` if there is none.
///
/// # Errors
/// - [`Error::Read`], if the record cannot be read.
/// - [`Error::BadRecord`] or [`Error::NewerRecord`], if it cannot be parsed.
pub(crate) fn read_record<T: DeserializeOwned>(
    path: PathBuf,
    known: u32,
) -> Result<Option<T>, Error> {
    let text = match read_own(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    match serde_json::from_slice(&text) {
        Ok(RecordVersion { version }) if version > known => Err(Error::NewerRecord {
            path,
            version,
            known,
        }),
        Ok(RecordVersion { .. }) => {
            serde_json::from_slice(&text).map_err(|source| Error::BadRecord { path, source })
        }
        Err(source) => Err(Error::BadRecord { path, source }),
    }
}

/// Writes a record, as a whole or not at all.
pub(crate) fn write_record(path: PathBuf, record: &impl Serialize) -> Result<(), Error> {
    let text = match serde_json::to_vec_pretty(record) {
        Ok(text) => text,
        Err(source) => return Err(Error::BadRecord { path, source }),
    };
    replace(&path, &text).map_err(|source| Error::File {
        action: "write",
        path,
        source,
    })
}
