//! Devices that a guest gets together: the request, the checks, the assignment and the release.

#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod assignment;
mod change;
mod release;

pub use assignment::{Assignment, Request};
pub use change::DriverChange;
pub use release::{PendingRelease, ReleaseResult};
