//! Usage of devices by the host: the reasons for which a device cannot be taken away.

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

pub(crate) use disk::Hold;
pub use net::{NetworkPurpose, NetworkUse};
pub use report::{Unseen, Uses, Verdict};
pub use survey::{Severity, Usage, Use};
