//! Hints: what a user can do about an error. Each function is for one error type.

mod guest;
mod host;

pub(crate) use guest::guest_hint;
pub(crate) use host::host_hint;
