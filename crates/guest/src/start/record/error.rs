//! Problems with the records of guests.

use super::records::VERSION;
use std::io;
use std::path::PathBuf;

/// Problem with the records of guests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read, made, locked or removed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// The verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has held the lock for too long.
    #[error("{} is locked by another process", .0.display())]
    Locked(PathBuf),
    /// The wait for the lock was interrupted.
    #[error("interrupted while another process had the lock of the records")]
    Interrupted,
    /// A record is damaged.
    #[error("{} is not a record of guest '{name}'", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// The guest that it should be of.
        name: String,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// A record has a version that is not understood.
    #[error(
        "{} is a record of version {version}, {} than version {VERSION} of this passthru",
        path.display(),
        if *version > VERSION { "newer" } else { "older" }
    )]
    Version {
        /// The record.
        path: PathBuf,
        /// The guest that it is of.
        name: String,
        /// Its version.
        version: u32,
    },
    /// There is no record of a guest.
    #[error("there is no record of a guest '{name}'")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Names of the guests that there are records of.
        known: Vec<String>,
    },
    /// All user ids of the range are taken.
    #[error("no user id is free in {range}")]
    NoFreeUid {
        /// The range.
        range: String,
    },
    /// The user id of a guest now belongs to the system as well.
    #[error("user id {uid} of guest '{name}' is taken on this host: {by}")]
    UidInUse {
        /// The guest.
        name: String,
        /// Its user id.
        uid: u32,
        /// The other owner.
        by: String,
    },
    /// Another guest took the user id while this one was being started.
    #[error("user id {uid} was given to another guest meanwhile")]
    UidTaken {
        /// The user id.
        uid: u32,
    },
    /// The named user belongs to another guest.
    #[error("the user '{user}' belongs to guest '{guest}'")]
    Shared {
        /// The user.
        user: String,
        /// The guest.
        guest: String,
    },
}
