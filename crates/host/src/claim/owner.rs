//! The owner of a claim, as it stands in the claim's lock file.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};

use serde::{Deserialize, Serialize};

/// The owner of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The guest; `None` while a device is bound by hand, which takes a short time.
    pub guest: Option<String>,
    /// The process that holds the claim.
    pub pid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.guest {
            Some(guest) => write!(f, "guest {guest} (pid {})", self.pid),
            None => write!(f, "another passthru (pid {})", self.pid),
        }
    }
}

/// Reads the owner of a lock file. The default owner is returned if the holder of the lock has not
/// written its name yet.
pub(crate) fn read_owner(lock: &mut File) -> Owner {
    let mut text = String::new();
    let _ = lock.rewind().and_then(|()| lock.read_to_string(&mut text));
    serde_json::from_str(&text).unwrap_or_default()
}

/// Writes the owner into a lock file.
pub(crate) fn write_owner(lock: &mut File, owner: &Owner) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(&serde_json::to_vec(owner)?)
}
