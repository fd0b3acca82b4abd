//! Answers of the monitor, read as types. The VMM is not trusted: an answer of another form is an
//! error, and no text is longer than [`LONGEST_TEXT`].

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::Error;
use crate::text::{MOST_SHOWN, printable};

/// Largest number of bytes in a text of an answer or event. QEMU's paths of objects are the longest
/// ones.
const LONGEST_TEXT: usize = 1024;

/// A type of answer to a command.
pub trait Answer: DeserializeOwned {
    /// QEMU's name of the command.
    const COMMAND: &'static str;

    /// Reads the answer to the command.
    ///
    /// # Errors
    /// If the answer does not have the form that QEMU's schema gives it, or has a text of more than
    /// 1,024 bytes, then [`Error::UnexpectedData`].
    fn read(answer: Value) -> Result<Self, Error> {
        read(Self::COMMAND, answer)
    }
}

/// Reads the data of an answer or event, which is named `what` in errors.
pub(super) fn read<T: DeserializeOwned>(what: &str, data: Value) -> Result<T, Error> {
    serde_json::from_value(data).map_err(|error| Error::UnexpectedData {
        what: what.to_owned(),
        reason: printable(&error.to_string(), MOST_SHOWN),
    })
}

/// Reads a text of the monitor.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > LONGEST_TEXT {
        let message = format!("a text of {} bytes is too long", text.len());
        return Err(D::Error::custom(message));
    }

    Ok(text)
}

/// Reads a text of the monitor that can be absent.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    text(deserializer).map(Some)
}

/// A descriptor that QEMU has put into an fd set: the answer to `add-fd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AddedFd {
    /// Number of the set.
    pub fdset_id: u32,
    /// Number of the descriptor in QEMU, by which `object-add` of an iommufd takes it.
    pub fd: u32,
}

impl Answer for AddedFd {
    const COMMAND: &'static str = "add-fd";
}

/// An fd set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FdSet {
    /// Number of the set.
    pub fdset_id: u32,
    /// The descriptors in the set.
    pub fds: Vec<FdSetMember>,
}

/// A descriptor in an fd set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FdSetMember {
    /// Number of the descriptor in QEMU.
    pub fd: u32,
    /// Text that was sent with the descriptor.
    #[serde(default, deserialize_with = "optional_text")]
    pub opaque: Option<String>,
}

impl Answer for Vec<FdSet> {
    const COMMAND: &'static str = "query-fdsets";
}

/// The state of the guest: the answer to `query-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct RunStatus {
    /// Whether the guest's CPUs run.
    pub running: bool,
    /// State.
    pub status: RunState,
}

/// A state of the guest, as QEMU's `RunState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// The guest runs on behalf of a debugger.
    Debug,
    /// The guest waits for the state of another QEMU.
    Inmigrate,
    /// A device or the emulator failed.
    InternalError,
    /// A disk failed, and its policy is to pause.
    IoError,
    /// The guest was paused.
    Paused,
    /// The guest's state was sent to another QEMU.
    Postmigrate,
    /// The guest has not started yet.
    Prelaunch,
    /// The guest is paused for the last part of its state.
    FinishMigrate,
    /// The guest is paused while its state is restored.
    RestoreVm,
    /// The guest runs.
    Running,
    /// The guest is paused while its state is saved.
    SaveVm,
    /// The guest has powered off, and the emulator was told to stay.
    Shutdown,
    /// The guest sleeps (S3).
    Suspended,
    /// The watchdog has paused the guest.
    Watchdog,
    /// The guest has crashed.
    GuestPanicked,
    /// The guest's state is copied to a second QEMU all the time.
    Colo,
}

impl Answer for RunStatus {
    const COMMAND: &'static str = "query-status";
}

/// A member of an object: a property, a link, or another object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QomMember {
    /// Name, which is the id of a device in `/machine/peripheral` and of an object in `/objects`.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Type. Those of objects are `child<TYPE>`.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: String,
}

impl Answer for Vec<QomMember> {
    const COMMAND: &'static str = "qom-list";
}

/// A block node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockNode {
    /// Name. QEMU chooses one for a node that was made without a name.
    #[serde(default, deserialize_with = "optional_text")]
    pub node_name: Option<String>,
}

impl Answer for Vec<BlockNode> {
    const COMMAND: &'static str = "query-named-block-nodes";
}

/// A drive: a device with a block node, or one for a medium.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Drive {
    /// Id of the device, or its path if it has none.
    #[serde(default, deserialize_with = "optional_text")]
    pub qdev: Option<String>,
    /// Whether the guest has locked the tray.
    pub locked: bool,
    /// Whether the tray is open; `None` for a drive without a tray.
    pub tray_open: Option<bool>,
    /// The medium; `None` for an empty drive.
    pub inserted: Option<BlockNode>,
}

impl Answer for Vec<Drive> {
    const COMMAND: &'static str = "query-block";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answer_to_add_fd_names_set_and_number() {
        let answer = json!({ "fdset-id": 3, "fd": 41 });
        let added = AddedFd::read(answer).unwrap();
        assert_eq!((added.fdset_id, added.fd), (3, 41));

        for wrong in [json!({}), json!({ "fdset-id": 3, "fd": -1 }), json!("41")] {
            let error = AddedFd::read(wrong).unwrap_err();
            assert!(error.to_string().starts_with("QMP add-fd: "), "{error}");
        }
    }

    #[test]
    fn fd_sets_are_read_with_and_without_a_text() {
        let answer = json!([
            { "fdset-id": 0, "fds": [{ "fd": 12, "opaque": "passthru:iommufd0" }] },
            { "fdset-id": 9, "fds": [{ "fd": 13 }, { "fd": 14 }] },
        ]);
        let sets = Vec::<FdSet>::read(answer).unwrap();
        let opaque = sets[0].fds[0].opaque.as_deref();
        assert_eq!(opaque, Some("passthru:iommufd0"));
        assert_eq!((sets[1].fdset_id, sets[1].fds.len()), (9, 2));
        assert_eq!(sets[1].fds[0].opaque, None);
    }

    #[test]
    fn long_or_odd_text_is_an_error_that_shows_little() {
        let long = json!([{ "name": "x".repeat(LONGEST_TEXT + 1), "type": "child<edu>" }]);
        let error = Vec::<QomMember>::read(long).unwrap_err().to_string();
        assert_eq!(error, "QMP qom-list: a text of 1025 bytes is too long");

        let odd = json!({ "running": true, "status": format!("\u{1b}[2J{}", "y".repeat(5000)) });
        let error = RunStatus::read(odd).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
        assert!(error.len() < 2 * MOST_SHOWN, "{}", error.len());
    }

    #[test]
    fn state_of_the_guest_has_qemu_s_words() {
        for (word, state, running) in [
            ("running", RunState::Running, true),
            ("prelaunch", RunState::Prelaunch, false),
            ("internal-error", RunState::InternalError, false),
            ("guest-panicked", RunState::GuestPanicked, false),
        ] {
            let answer = json!({ "status": word, "running": running, "singlestep": false });
            let read = RunStatus::read(answer).unwrap();
            assert_eq!((read.status, read.running), (state, running));
        }
    }

    #[test]
    fn drive_is_read_with_its_tray_and_medium() {
        let answer = json!([
            { "device": "", "qdev": "sata0-0-0", "type": "unknown", "removable": true,
              "locked": true, "tray_open": false,
              "inserted": { "node-name": "libvirt-1-storage", "ro": true } },
            { "device": "", "qdev": "sata0-0-1", "type": "unknown", "removable": true,
              "locked": false, "tray_open": true },
            { "device": "floppy0", "type": "unknown", "removable": true, "locked": false },
        ]);
        let drives = Vec::<Drive>::read(answer).unwrap();
        let medium = drives[0].inserted.as_ref().unwrap();
        assert_eq!(medium.node_name.as_deref(), Some("libvirt-1-storage"));
        assert_eq!((drives[0].locked, drives[0].tray_open), (true, Some(false)));
        assert_eq!(drives[1].inserted, None);
        assert_eq!((&drives[2].qdev, drives[2].tray_open), (&None, None));
    }
}
