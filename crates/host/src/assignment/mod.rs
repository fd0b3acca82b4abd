//! Devices that are taken together: the requests, their checks, the assignment and the release.

#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod assignment;
mod change;
mod check;
mod release;
mod request;
#[cfg(test)]
mod tests;

pub use assignment::Assignment;
pub use change::DriverChange;
pub use release::{PendingRelease, ReleaseResult};
pub use request::Request;
