//! Notes on a start. A start that lost its user id is planned again, so each note is printed only
//! the first time.

use std::collections::BTreeSet;

use passthru_guest::{StartPlan, start_notes};
use passthru_host::Host;

use crate::message::say;

/// Notes that were printed.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: BTreeSet<String>,
}

impl Notices {
    /// Prints a note, unless it was printed before.
    pub(super) fn say(&mut self, note: String) {
        if self.is_new(&note) {
            say!("{note}");
            self.said.insert(note);
        }
    }

    /// Prints the notes on a plan.
    pub(super) fn say_notes(&mut self, plan: &StartPlan, host: &Host) {
        for note in start_notes(plan, host) {
            self.say(format!("note: {note}"));
        }
    }

    fn is_new(&self, note: &str) -> bool {
        !self.said.contains(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_is_new_until_it_is_printed() {
        let mut notices = Notices::default();
        assert!(notices.is_new("note: one"));
        notices.say("note: one".into());
        assert!(!notices.is_new("note: one"));
        assert!(notices.is_new("note: two"));
    }
}
