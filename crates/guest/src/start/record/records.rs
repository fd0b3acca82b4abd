//! The folder of the records of all guests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_host::{make_own_folder, read_own, replace};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::Error;
use super::guest_record::{GuestRecord, parse};

/// Folder of the records of all guests.
pub const RECORD_DIR: &str = "/var/lib/passthru/guests";

/// Longest wait for the lock of the records. Its holder only reads and writes small files.
const LOCK_TIME: Duration = Duration::from_secs(10);
/// Pause between two tries to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The records of all guests, in one folder.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

/// The records, locked against other processes that change them.
#[derive(Debug)]
pub(crate) struct LockedRecords<'a> {
    records: &'a Records,
    _lock: File,
}

impl Records {
    /// Returns the records in a folder, usually [`RECORD_DIR`].
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Reads the record of a guest; `None` if the guest has none.
    ///
    /// # Errors
    /// - If the file is not a record of the guest, then [`Error::Damaged`].
    /// - If the record has another version, then [`Error::Version`].
    /// - If the file cannot be read, then [`Error::File`].
    pub fn read(&self, name: &str) -> Result<Option<GuestRecord>, Error> {
        let path = self.path(name);
        match read_own(&path) {
            Ok(text) => parse(&text, path, name).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// Lists the names of the guests that have a record.
    ///
    /// # Errors
    /// If the folder cannot be read, then [`Error::File`].
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("read", &self.folder, source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| failed("read", &self.folder, source))?;
            let file_name = entry.file_name();
            let name = file_name
                .to_str()
                .and_then(|name| name.strip_suffix(".json"));
            names.extend(name.map(str::to_owned));
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

    /// Locks the records against other processes. Makes the folder if it is missing.
    pub(crate) fn lock(&self) -> Result<LockedRecords<'_>, Error> {
        self.lock_unless(&|| false)
    }

    /// Locks the records against other processes. Makes the folder if it is missing.
    ///
    /// Between two tries, while another process has the lock, `interrupted` is called.
    ///
    /// # Errors
    /// - If `interrupted` returns true, then [`Error::Interrupted`].
    /// - If another process has the lock for 10 s, then [`Error::Locked`].
    /// - If the folder or the lock file cannot be used, then [`Error::File`].
    pub(crate) fn lock_unless(
        &self,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<LockedRecords<'_>, Error> {
        if let Some(parent) = self.folder.parent() {
            make_own_folder(parent, 0o755).map_err(|source| failed("make", parent, source))?;
        }
        make_own_folder(&self.folder, 0o700)
            .map_err(|source| failed("make", &self.folder, source))?;
        let path = self.folder.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        let end = Instant::now() + LOCK_TIME;
        while let Err(errno) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            match errno {
                Errno::WOULDBLOCK if interrupted() => return Err(Error::Interrupted),
                Errno::WOULDBLOCK if Instant::now() < end => sleep(LOCK_PAUSE),
                Errno::WOULDBLOCK => return Err(Error::Locked(path)),
                other => return Err(failed("lock", &path, other.into())),
            }
        }

        Ok(LockedRecords {
            records: self,
            _lock: lock,
        })
    }

    /// Returns the path of a guest's record.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

impl LockedRecords<'_> {
    /// Writes a record as a whole or not at all.
    pub(crate) fn write(&self, record: &GuestRecord) -> Result<(), Error> {
        let path = self.records.path(&record.name);
        serde_json::to_vec_pretty(record)
            .map_err(io::Error::from)
            .and_then(|text| replace(&path, &text))
            .map_err(|source| failed("write", &path, source))
    }

    /// Removes the record of a guest.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.records.path(name);
        fs::remove_file(&path)
            .and_then(|()| File::open(&self.records.folder)?.sync_all())
            .map_err(|source| failed("remove", &path, source))
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        what,
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use passthru_host::Identity;

    use super::*;
    use crate::start::record::guest_record::Ids;

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
    fn record_is_read_back_and_only_root_has_access() {
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
    fn damaged_older_and_newer_records_are_refused() {
        let (_folder, records) = records();
        drop(records.lock().unwrap());
        for (text, expected) in [
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
                error.contains(expected) && error.contains("guests/vm.json"),
                "{text}: {error}"
            );
            assert!(records.others("next").is_err() && records.others("vm").is_ok());
        }
    }

    #[test]
    fn half_written_record_is_ignored() {
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
