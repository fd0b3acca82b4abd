//! Usage of devices by the host: the reasons for which a device cannot be taken away.
//!
//! The check fails closed: a part of the host that cannot be inspected blocks as a usage does.

mod blind_spot;
mod console;
mod descendants;
mod disk;
mod escape;
mod net;
mod process;
mod report;
mod severity;
mod survey;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod usage;

pub use blind_spot::BlindSpot;
pub use disk::HeldDisks;
pub use net::{NetworkPurpose, NetworkUsage};
pub use report::{UsageReport, Verdict};
pub use severity::Severity;
pub use survey::HostSurvey;
pub use usage::Usage;
