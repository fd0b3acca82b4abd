//! Lock files that name the process that holds them.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::owner::Owner;

/// Pause between two tries to take a lock.
const PAUSE: Duration = Duration::from_millis(5);

/// Failure to take a lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("{0} holds the lock")]
    Held(Owner),
    /// The lock file cannot be opened, locked or written.
    #[error("cannot {action} the lock file")]
    File {
        /// Verb of the failed action: `open`, `lock` or `write`.
        action: &'static str,
        /// Error of the system call.
        source: io::Error,
    },
}

impl LockError {
    fn new(action: &'static str, source: impl Into<io::Error>) -> Self {
        Self::File {
            action,
            source: source.into(),
        }
    }
}

/// Takes the lock on a file, and writes the owner into the file.
///
/// A missing file is created, and links are not followed. The lock ends when the returned file is
/// closed. A process that calls [`lock_owner`] holds the lock for an instant, so this function
/// tries again until `patience` is over.
///
/// The file must never be removed: a lock on a removed file protects nothing.
///
/// # Errors
/// - If another process holds the lock, then [`LockError::Held`].
/// - If the file cannot be used, then [`LockError::File`].
pub fn lock_as(path: &Path, owner: &Owner, patience: Duration) -> Result<File, LockError> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| LockError::new("open", errno))?;
    let mut file = File::from(fd);
    let end = Instant::now() + patience;
    while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        match errno {
            Errno::WOULDBLOCK if Instant::now() < end => sleep(PAUSE),
            Errno::WOULDBLOCK => return Err(LockError::Held(read_owner(&mut file))),
            other => return Err(LockError::new("lock", other)),
        }
    }

    write_owner(&mut file, owner).map_err(|error| LockError::new("write", error))?;
    Ok(file)
}

/// Returns the process that holds the lock on a file; `None` if the lock is free or the file is
/// missing.
///
/// # Errors
/// If the file cannot be opened or locked.
pub fn lock_owner(path: &Path) -> io::Result<Option<Owner>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(read_owner(&mut file))),
        Err(other) => Err(other.into()),
    }
}

/// Reads the owner in a lock file. Returns an empty owner if the holder of the lock has not written
/// its name yet.
fn read_owner(file: &mut File) -> Owner {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    serde_json::from_str(&text).unwrap_or_default()
}

fn write_owner(file: &mut File, owner: &Owner) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(owner)?)
}
