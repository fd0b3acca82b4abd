//! The status of a guest, a file that `ps` reads without asking any process.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use passthru_host::{Host, ProcessId, read_own, replace};
use serde::{Deserialize, Serialize};

/// Version of the status that this program writes.
const VERSION: u32 = 1;
/// Name of the file in the guest's folder.
const FILE: &str = "status.json";

/// State of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GuestState {
    /// The VMM is being set up.
    Starting,
    /// The guest's processors run.
    Running,
    /// The guest's processors are stopped on request.
    Paused,
    /// The guest sleeps.
    Suspended,
    /// The guest has powered off, and its VMM still runs.
    PoweredOff,
    /// The guest was asked to end, and its devices are given back.
    Stopping,
    /// The guest has reported that it crashed.
    Crashed,
    /// The VMM has stopped the guest: a disk or a device has failed.
    Failed,
    /// A state that this program does not know.
    #[serde(other)]
    Unknown,
}

/// Status of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    version: u32,
    /// Name of the guest.
    pub guest: String,
    /// State of the guest.
    pub state: GuestState,
    /// Process of the VMM, once there is one.
    pub vmm: Option<ProcessId>,
    /// Process of the supervisor.
    pub supervisor: ProcessId,
    /// Time at which the guest was started, in seconds since 1970.
    pub since: u64,
    /// Memory of the guest, in bytes.
    pub memory: u64,
    /// Addresses of the host's devices that the guest has.
    pub devices: Vec<String>,
}

/// The processes of a guest that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// The supervisor lives.
    Attended,
    /// The VMM lives without a supervisor.
    Unattended,
    /// Neither lives. The host may not be as it was before.
    Ended,
}

/// The status file of a guest, for its supervisor.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    /// Content of the file, once it was written.
    written: Option<Status>,
}

impl GuestState {
    /// Returns the state for a state of QEMU (`RunState`), such as `running`.
    pub fn from_qemu(state: &str) -> Self {
        match state {
            "prelaunch" | "inmigrate" => Self::Starting,
            "running" => Self::Running,
            "paused" | "debug" | "save-vm" | "restore-vm" | "finish-migrate" | "postmigrate" => {
                Self::Paused
            }
            "suspended" => Self::Suspended,
            "shutdown" => Self::PoweredOff,
            "guest-panicked" => Self::Crashed,
            "internal-error" | "io-error" | "watchdog" => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// Returns the name of the state.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::PoweredOff => "powered-off",
            Self::Stopping => "stopping",
            Self::Crashed => "crashed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Status {
    /// Makes the status of a guest that `supervisor` starts or adopts, without memory and devices.
    pub fn new(guest: &str, supervisor: ProcessId, since: u64) -> Self {
        Self {
            version: VERSION,
            guest: guest.to_owned(),
            state: GuestState::Starting,
            vmm: None,
            supervisor,
            since,
            memory: 0,
            devices: Vec::new(),
        }
    }

    /// Reads the status from a guest's folder; `None` if the folder has none.
    ///
    /// # Errors
    /// - If the file cannot be read, or others may write to it, then that error.
    /// - If it is not understood, or a newer program wrote it, then `InvalidData`.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let text = match read_own(&folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let version: Version = serde_json::from_slice(&text)?;
        if version.version > VERSION {
            let version = version.version;
            let message = format!("it has version {version}, and only {VERSION} is understood");
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }

        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Returns which processes of the guest live. A process that cannot be looked at counts as
    /// alive.
    pub fn attendance(&self, host: &Host) -> Attendance {
        if host.may_live(&self.supervisor) {
            Attendance::Attended
        } else if self.vmm.as_ref().is_some_and(|vmm| host.may_live(vmm)) {
            Attendance::Unattended
        } else {
            Attendance::Ended
        }
    }
}

/// The version of a status, which is parsed before the rest.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl StatusFile {
    /// Makes the status file of a guest, without writing it. The folder must be one that only this
    /// user may write to.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
            written: None,
        }
    }

    /// Writes a status that differs from the last one. A reader finds one or the other.
    ///
    /// # Errors
    /// If the file cannot be written, then the kernel's error. The next call tries again.
    pub fn update(&mut self, status: &Status) -> io::Result<()> {
        if self.written.as_ref() == Some(status) {
            return Ok(());
        }
        self.written = None;
        replace(&self.path, &serde_json::to_vec(status)?)?;
        self.written = Some(status.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    fn status() -> Status {
        let own = Host::new().process(std::process::id()).unwrap();
        let mut status = Status::new("vm", own.clone(), 1_800_000_000);
        status.vmm = Some(own);
        status.memory = 4 << 30;
        status.devices = vec!["0000:01:00.0".into()];
        status
    }

    #[test]
    fn written_status_reads_back() {
        let folder = tempfile::tempdir().unwrap();

        assert_eq!(Status::read(folder.path()).unwrap(), None);

        let mut file = StatusFile::new(folder.path());
        let mut status = status();
        file.update(&status).unwrap();
        status.state = GuestState::Running;
        file.update(&status).unwrap();

        assert_eq!(Status::read(folder.path()).unwrap(), Some(status));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn equal_status_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StatusFile::new(folder.path());
        file.update(&status()).unwrap();
        let path = folder.path().join(FILE);
        let inode = fs::metadata(&path).unwrap().ino();
        file.update(&status()).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }

    #[test]
    fn failed_update_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm");
        let mut file = StatusFile::new(&path);

        assert!(file.update(&status()).is_err());

        fs::create_dir(&path).unwrap();
        file.update(&status()).unwrap();

        assert!(Status::read(&path).unwrap().is_some());
    }

    #[test]
    fn newer_or_broken_status_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        replace(&path, b"{\"version\":2,\"guests\":[]}").unwrap();
        let error = Status::read(folder.path()).unwrap_err();

        assert_eq!(
            error.to_string(),
            "it has version 2, and only 1 is understood"
        );

        replace(&path, b"{\"version\":1").unwrap();

        assert!(Status::read(folder.path()).is_err());
    }

    #[test]
    fn status_of_version_1_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"guest":"vm","state":"running","vmm":null,
            "supervisor":{"pid":7,"start_time":9,"boot_id":"b","pid_namespace":"pid:[1]"},
            "since":5,"memory":6,"devices":["0000:01:00.0"],"later":true}"#;
        replace(&folder.path().join(FILE), text.as_bytes()).unwrap();
        let status = Status::read(folder.path()).unwrap().unwrap();

        assert_eq!(status.state, GuestState::Running);
        assert_eq!((status.supervisor.pid, status.since), (7, 5));
    }

    #[test]
    fn processes_that_live_decide_on_the_attendance() {
        let host = Host::new();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let mut status = status();

        assert_eq!(status.attendance(&host), Attendance::Attended);

        status.supervisor.start_time += 1;
        status.vmm = host.process(other.id());

        assert!(status.vmm.is_some());
        assert_eq!(status.attendance(&host), Attendance::Unattended);

        other.kill().unwrap();
        other.wait().unwrap();

        assert_eq!(status.attendance(&host), Attendance::Ended);
    }

    #[test]
    fn states_have_their_names_in_the_file() {
        let qemu = [
            "prelaunch",
            "running",
            "paused",
            "suspended",
            "shutdown",
            "guest-panicked",
            "io-error",
        ];
        for state in qemu {
            let state = GuestState::from_qemu(state);
            assert_ne!(state, GuestState::Unknown);
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }

        let later: GuestState = serde_json::from_str("\"hibernating\"").unwrap();

        assert_eq!(later, GuestState::Unknown);
        assert_eq!(GuestState::from_qemu("colo"), GuestState::Unknown);
    }
}
