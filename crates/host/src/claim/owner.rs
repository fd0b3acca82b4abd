//! The owner of a claim, as it stands in the claim's lock file.

use std::fmt;

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
