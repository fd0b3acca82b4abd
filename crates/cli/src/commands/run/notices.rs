//! Notes on a start, each said once: a start that lost its user id is planned anew.

use crate::message::say;
use std::collections::BTreeSet;

/// Notes that were said.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: BTreeSet<String>,
}

impl Notices {
    /// Says a note, unless it was said before.
    pub(super) fn say(&mut self, note: String) {
        if self.is_new(&note) {
            say!("{note}");
            self.said.insert(note);
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
    fn note_is_new_until_it_was_said() {
        let mut notices = Notices::default();
        assert!(notices.is_new("note: one"));
        notices.say("note: one".into());
        assert!(!notices.is_new("note: one"));
        assert!(notices.is_new("note: two"));
    }
}
