//! The record of a guest, and the folder of all records.

use super::error::Error;
use crate::start::user::NOBODY;
use passthru_domain::Domain;
use passthru_host::{Identity, make_own_folder, read_own, replace};
use passthru_pci::Address;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Folder of the records of all guests.
pub const RECORD_DIR: &str = "/var/lib/passthru/guests";

/// Version of the records that this program writes, and the only one so far.
pub(super) const VERSION: u32 = 1;
/// Time that another process may hold the lock of the records: it reads and writes small files
/// meanwhile.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// Facts about a guest that last until it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRecord {
    version: u32,
    /// Name of the guest.
    pub name: String,
    /// User and group of its own, from the configured range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Ids>,
    /// User and group that were named at the last start, instead of its own.
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

/// Firmware of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firmware {
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// File of its variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvram: Option<String>,
    /// Template that the file of variables is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Version and nothing else of a record.
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

    /// Returns the device that the guest had at an address.
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

    /// Notes the devices of a start, with the serial numbers that were seen before. Devices that
    /// the start does not have are dropped: the host may use them otherwise now.
    pub(crate) fn note_devices(&mut self, devices: Vec<Identity>) {
        let earlier = std::mem::take(&mut self.devices);
        for identity in devices {
            let before = earlier
                .iter()
                .find(|before| before.address == identity.address);
            self.devices.push(
                match before.filter(|before| is_possible(&identity, before)) {
                    Some(before) => identity.merged(before),
                    None => identity,
                },
            );
        }
        self.devices.sort_by_key(|identity| identity.address);
    }
}

impl Firmware {
    pub(crate) fn from_domain(domain: &Domain) -> Option<Self> {
        let loader = domain
            .os
            .loader
            .as_ref()
            .and_then(|loader| loader.path.clone());
        let nvram = domain.os.nvram.as_ref();
        let firmware = Self {
            loader,
            nvram: nvram.and_then(|nvram| nvram.path.clone()),
            template: nvram.and_then(|nvram| nvram.template.clone()),
        };
        (firmware != Self::default()).then_some(firmware)
    }
}

/// Returns whether two identities can be those of one device.
pub(crate) fn is_possible(one: &Identity, other: &Identity) -> bool {
    one.compare(other) != passthru_host::Comparison::Different
}

/// The folder of the records.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

/// The records while no other process changes them.
#[derive(Debug)]
pub(crate) struct LockedRecords<'a> {
    records: &'a Records,
    _lock: File,
}

impl Records {
    /// Returns the records in a folder: [`RECORD_DIR`].
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Reads the record of a guest.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Version`]; [`Error::File`] if it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<GuestRecord>, Error> {
        let path = self.path(name);
        match read_own(&path) {
            Ok(text) => parse(&text, path, name).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File {
                what: "read",
                path,
                source,
            }),
        }
    }

    /// Lists the names of the guests that have a record.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::File {
            what: "read",
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".json"))
                    .map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Reads the records of all guests but one.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), for the first record that cannot be used.
    pub(crate) fn others(&self, name: &str) -> Result<Vec<GuestRecord>, Error> {
        let mut others = Vec::new();
        for other in self.names()?.iter().filter(|other| *other != name) {
            others.extend(self.read(other)?);
        }
        Ok(others)
    }

    /// Makes the folder, for root alone, and keeps other processes from changing records.
    pub(crate) fn lock(&self) -> Result<LockedRecords<'_>, Error> {
        self.lock_unless(&|| false)
    }

    /// Takes the lock as [`lock`](Self::lock) does. `interrupted` is asked while another process
    /// has it.
    pub(crate) fn lock_unless(
        &self,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<LockedRecords<'_>, Error> {
        let failed = |what, path: &Path, source| Error::File {
            what,
            path: path.into(),
            source,
        };
        if let Some(above) = self.folder.parent() {
            make_own_folder(above, 0o755).map_err(|source| failed("make", above, source))?;
        }
        make_own_folder(&self.folder, 0o700)
            .map_err(|source| failed("make", &self.folder, source))?;
        let path = self.folder.join("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(|source| failed("open", &path, source))?;
        let end = Instant::now() + LOCK_TIME;
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            match error {
                rustix::io::Errno::WOULDBLOCK if interrupted() => return Err(Error::Interrupted),
                rustix::io::Errno::WOULDBLOCK if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                rustix::io::Errno::WOULDBLOCK => return Err(Error::Locked(path)),
                other => return Err(failed("lock", &path, other.into())),
            }
        }
        Ok(LockedRecords {
            records: self,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

impl LockedRecords<'_> {
    /// Writes a record as a whole or not at all.
    pub(crate) fn write(&self, record: &GuestRecord) -> Result<(), Error> {
        let path = self.records.path(&record.name);
        let failed = |source| Error::File {
            what: "write",
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(record).map_err(|error| failed(error.into()))?;
        replace(&path, &text).map_err(failed)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.records.path(name);
        let removed =
            fs::remove_file(&path).and_then(|()| File::open(&self.records.folder)?.sync_all());
        removed.map_err(|source| Error::File {
            what: "remove",
            path,
            source,
        })
    }
}

fn parse(text: &[u8], path: PathBuf, name: &str) -> Result<GuestRecord, Error> {
    let damaged = |source| Error::Damaged {
        path: path.clone(),
        name: name.into(),
        source,
    };
    let Version { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version != VERSION {
        return Err(Error::Version {
            path,
            name: name.into(),
            version,
        });
    }
    let record: GuestRecord = serde_json::from_slice(text).map_err(damaged)?;
    if record.name != name {
        let message = format!("it is a record of guest '{}'", record.name);
        return Err(damaged(serde::de::Error::custom(message)));
    }
    for ids in record.own.iter().chain(&record.named) {
        // The kernel reads the highest number as "no change".
        if [0, NOBODY, u32::MAX].contains(&ids.uid) || [0, u32::MAX].contains(&ids.gid) {
            let message = format!("no guest runs as user {} and group {}", ids.uid, ids.gid);
            return Err(damaged(serde::de::Error::custom(message)));
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn records() -> (tempfile::TempDir, Records) {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("lib/guests"));
        (folder, records)
    }

    fn identity(serial: Option<&str>) -> Identity {
        let mut json = serde_json::json!({"address": "0000:01:00.0", "vendor": 1, "device": 2,
            "subsystem_vendor": 3, "subsystem_device": 4});
        if let Some(serial) = serial {
            json["nvme_serial"] = serial.into();
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn record_is_read_as_written_and_for_root_alone() {
        let (_folder, records) = records();
        assert_eq!(records.read("vm").unwrap(), None);
        let mut record = GuestRecord::new("vm");
        record.own = Some(Ids { uid: 7, gid: 8 });
        record.note_devices(vec![identity(Some("A"))]);
        records.lock().unwrap().write(&record).unwrap();
        assert_eq!(records.read("vm").unwrap(), Some(record));
        assert_eq!(records.names().unwrap(), ["vm"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&records.folder), mode(&records.path("vm"))),
            (0o700, 0o600)
        );
        records.lock().unwrap().remove("vm").unwrap();
        assert_eq!(records.read("vm").unwrap(), None);
    }

    #[test]
    fn damaged_older_and_newer_records_are_named() {
        let (_folder, records) = records();
        drop(records.lock().unwrap());
        for (text, said) in [
            ("{", "is not a record of guest 'vm'"),
            ("{\"version\": 1}", "is not a record of guest 'vm'"),
            (
                "{\"version\": 1, \"name\": \"other\"}",
                "is not a record of guest 'vm'",
            ),
            (
                "{\"version\": 1, \"name\": \"vm\", \"own\": {\"uid\": 4294967295, \"gid\": 7}}",
                "is not a record of guest 'vm'",
            ),
            ("{\"version\": 0}", "version 0, older than version 1"),
            (
                "{\"version\": 2, \"name\": [7]}",
                "version 2, newer than version 1",
            ),
        ] {
            fs::write(records.path("vm"), text).unwrap();
            let error = records.read("vm").unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("guests/vm.json"),
                "{text}: {error}"
            );
            assert!(records.others("next").is_err() && records.others("vm").is_ok());
        }
    }

    #[test]
    fn half_written_record_is_not_seen() {
        let (_folder, records) = records();
        let record = GuestRecord::new("vm");
        records.lock().unwrap().write(&record).unwrap();
        fs::write(records.folder.join("vm.json.new"), "{").unwrap();
        assert_eq!(records.read("vm").unwrap(), Some(record.clone()));
        assert_eq!(records.names().unwrap(), ["vm"]);
        records.lock().unwrap().write(&record).unwrap();
        assert!(!records.folder.join("vm.json.new").exists());
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
    fn device_that_a_start_does_not_have_is_dropped() {
        let mut record = GuestRecord::new("vm");
        let other = Identity {
            address: "02:00.0".parse().unwrap(),
            ..identity(Some("C"))
        };
        record.note_devices(vec![identity(Some("A")), other.clone()]);
        record.note_devices(vec![other.clone()]);
        assert_eq!(record.devices, [other]);
    }

    #[test]
    fn interrupted_wait_for_the_lock_ends_at_once() {
        let (_folder, records) = records();
        let _locked = records.lock().unwrap();
        let begin = Instant::now();
        let waited = records.lock_unless(&|| true).map(drop);
        assert!(matches!(waited, Err(Error::Interrupted)), "{waited:?}");
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
    }
}
