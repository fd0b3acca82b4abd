//! HostSurvey of devices by the host: the reasons for which a device cannot be taken away.

mod console;
mod descendants;
mod disk;
pub(crate) mod hint;
mod net;
mod process;
mod report;
mod survey;
#[cfg(test)]
mod tests;

pub(crate) use disk::HeldDisks;
pub use net::{NetworkPurpose, NetworkUsage};
pub use report::{BlindSpot, UsageReport, Verdict};
pub use survey::{HostSurvey, Severity, Usage};
