//! Errors of the records of guests.

use std::io;
use std::path::PathBuf;

/// Error of the records of guests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read, made, locked or removed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// Verb for what failed.
        what: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Another process has held the lock of the records for too long.
    #[error("{} is locked by another process", .0.display())]
    Locked(PathBuf),
    /// The caller interrupted the wait for the lock.
    #[error("interrupted while another process had the lock of the records")]
    Interrupted,
    /// A file is not a record of its guest.
    #[error("{} is not a record of guest '{name}'", path.display())]
    Damaged {
        /// Path of the record.
        path: PathBuf,
        /// Name of the guest.
        name: String,
        /// Cause.
        source: serde_json::Error,
    },
    /// A record has a version that this program does not read.
    #[error(
        "{} is a record of version {version}, {} than version {known} of this passthru",
        path.display(),
        if version > known { "newer" } else { "older" }
    )]
    Version {
        /// Path of the record.
        path: PathBuf,
        /// Name of the guest.
        name: String,
        /// Version of the record.
        version: u32,
        /// Version that this program reads.
        known: u32,
    },
    /// A guest has no record.
    #[error("there is no record of a guest '{name}'")]
    Unknown {
        /// Name of the guest.
        name: String,
        /// Names of the guests that have a record.
        known: Vec<String>,
    },
    /// Each user id of the range is taken.
    #[error("no user id is free in {range}")]
    NoFreeUid {
        /// The range.
        range: String,
    },
    /// The system has given the guest's user id to another user, too.
    #[error("user id {uid} of guest '{name}' is taken on this host: {by}")]
    UidInUse {
        /// Name of the guest.
        name: String,
        /// User id of the guest.
        uid: u32,
        /// The other user, group or range.
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
        /// Name of the user.
        user: String,
        /// Name of the guest.
        guest: String,
    },
}
