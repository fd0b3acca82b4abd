//! Guests whose `passthru` has died.

use crate::run::state::{self, FOLDER};
use passthru_host::Host;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::Path;

/// Guest whose manager has ended without ending it in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadGuest {
    /// Its name.
    pub name: String,
    /// Reason for which its VMM may still run, if it may.
    pub survivor: Option<String>,
}

impl fmt::Display for DeadGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.survivor {
            Some(reason) => f.write_str(reason),
            None => write!(f, "guest '{}' has died with its passthru", self.name),
        }
    }
}

/// Lists the guests below `run` whose manager has died. Guests that cannot be looked at are left
/// out: without privileges, none is listed.
pub fn dead_guests(run: &Path, host: &Host) -> Vec<DeadGuest> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(run).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let name = file_name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(name) = name.filter(|_| is_folder) else {
            continue;
        };
        if !matches!(state::has_manager(run, name), Ok(false)) {
            continue;
        }
        let survivor = match state::survivor(run, name, host) {
            Ok(survivor) => survivor.map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        dead.push(DeadGuest {
            name: name.into(),
            survivor,
        });
    }
    dead.sort_by(|one, other| one.name.cmp(&other.name));
    dead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::state::StateDir;

    #[test]
    fn guest_is_dead_once_its_lock_is_free() {
        let run = tempfile::tempdir().unwrap();
        let host = Host::new();
        let state = StateDir::create(run.path(), "vm", &host).unwrap();
        assert!(dead_guests(run.path(), &host).is_empty());
        drop(state);
        assert!(dead_guests(run.path(), &host).is_empty());
        fs::create_dir(run.path().join("domain-vm")).unwrap();
        let dead = dead_guests(run.path(), &host);
        assert_eq!(
            dead,
            [DeadGuest {
                name: "vm".into(),
                survivor: None
            }]
        );
        fs::write(run.path().join("domain-vm/vmm.json"), "{").unwrap();
        let text = dead_guests(run.path(), &host).remove(0).to_string();
        assert!(text.contains("vmm.json"), "{text}");
    }
}
