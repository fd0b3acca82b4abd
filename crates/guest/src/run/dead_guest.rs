//! Guests whose manager has died.

use std::path::Path;
use std::{fmt, fs};

use passthru_host::Host;
use serde::Serialize;

use super::folder::{FOLDER_PREFIX, check_remains, folder_path, has_manager};

/// Guest whose manager, a `passthru` process, has died without ending the guest in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadGuest {
    /// Name of the guest.
    pub name: String,
    /// Reason for which the guest's VMM may still run, if it may.
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

/// Lists the names of the guests below `run` that have a folder, in no order.
pub fn guest_names(run: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(run).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let file_name = entry.file_name();
        let name = file_name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX));
        names.extend(name.filter(|_| is_folder).map(str::to_owned));
    }

    names
}

/// Lists the guests below `run` whose manager has died, sorted by name. Leaves out guests whose
/// folder or lock cannot be opened: without root, the list is empty.
pub fn dead_guests(run: &Path, host: &Host) -> Vec<DeadGuest> {
    let mut dead = Vec::new();
    for name in guest_names(run) {
        if !matches!(has_manager(run, &name), Ok(false)) {
            continue;
        }
        let survivor = match check_remains(&folder_path(run, &name), &name, host) {
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        dead.push(DeadGuest { name, survivor });
    }

    dead.sort_by(|one, other| one.name.cmp(&other.name));
    dead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::folder::GuestFolder;

    #[test]
    fn guest_is_dead_once_its_lock_is_free() {
        let run = tempfile::tempdir().unwrap();
        let host = Host::new();
        let mut folder = GuestFolder::lock(run.path(), "vm").unwrap();
        folder.make().unwrap();

        assert!(dead_guests(run.path(), &host).is_empty());

        drop(folder);
        let dead = dead_guests(run.path(), &host);
        assert_eq!(
            dead,
            [DeadGuest {
                name: "vm".into(),
                survivor: None
            }]
        );

        fs::write(run.path().join("domain-vm/journal"), "{\n").unwrap();
        let text = dead_guests(run.path(), &host).remove(0).to_string();
        assert!(text.contains("journal"), "{text}");
    }
}
