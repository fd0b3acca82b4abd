//! Guests that these tests share.

use crate::common::guest;

pub(crate) fn with(machine: &str, part: &str) -> String {
    guest(machine, "").replace("<os>", &format!("{part}<os>"))
}
