//! Guests and assertions that these tests share.

use passthru_domain::Domain;

use crate::common;
use crate::common::guest;

#[track_caller]
pub(crate) fn refused(machine: &str, devices: &str, words: &str) {
    common::refused(&guest(machine, devices), words, "");
}

#[track_caller]
pub(crate) fn complete(machine: &str, devices: &str) -> Domain {
    common::accepted(&guest(machine, devices))
}
