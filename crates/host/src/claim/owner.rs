//! The owner of a claim, as it stands in the claim's lock file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Usage;

/// Who has a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The guest that it is for; `None` for a short while, as long as a device is bound by hand.
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

impl From<Owner> for Usage {
    fn from(owner: Owner) -> Self {
        let name = owner.guest.clone().unwrap_or_else(|| owner.to_string());
        Usage::Guest {
            name,
            pid: owner.pid,
        }
    }
}
