//! The guests of a user, as their files show them.

use std::path::Path;

use passthru_guest::{dead_guests, folder_path, guest_names};
use passthru_host::Host;

use crate::status::{Attendance, Status};

/// A guest, as its files show it. No process is asked.
#[derive(Debug)]
pub struct SurveyedGuest {
    /// Name of the guest.
    pub name: String,
    /// Status that the supervisor wrote last; `None` before its first, or if it cannot be read.
    pub status: Option<Status>,
    /// The processes of the guest that live.
    pub attendance: Attendance,
}

/// Lists the guests whose folders are below `run`, sorted by name.
/// Warns about a status that cannot be read.
pub fn survey(run: &Path, host: &Host) -> Vec<SurveyedGuest> {
    let mut guests = Vec::new();
    let dead = dead_guests(run, host);
    for name in guest_names(run) {
        let status = Status::read(&folder_path(run, &name)).unwrap_or_else(|error| {
            tracing::warn!("cannot read the status of guest '{name}': {error}");
            None
        });
        let attendance = match dead.iter().find(|dead| dead.name == name) {
            None => Attendance::Attended,
            Some(dead) if dead.survivor.is_some() => Attendance::Unattended,
            Some(_) => Attendance::Ended,
        };
        guests.push(SurveyedGuest {
            name,
            status,
            attendance,
        });
    }

    guests.sort_by(|one, other| one.name.cmp(&other.name));
    guests
}
