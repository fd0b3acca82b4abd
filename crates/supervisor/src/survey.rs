//! The guests of a user, as their files show them.

use std::io;
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
///
/// # Errors
/// If the status of a guest cannot be read, then that error. The other guests are not listed then.
pub fn survey(run: &Path, host: &Host) -> io::Result<Vec<SurveyedGuest>> {
    let mut guests = Vec::new();
    let dead = dead_guests(run, host);
    for name in guest_names(run) {
        let status = Status::read(&folder_path(run, &name))?;
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
    Ok(guests)
}
