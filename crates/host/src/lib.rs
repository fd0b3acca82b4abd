//! What this host has, and how its PCI devices change hands: devices, IOMMU groups, what uses them,
//! driver binding, and the records by which everything goes back to where it was.
//!
//! Everything is read and written through a [`Host`], which also works on a copy of `/sys`,
//! `/proc`, `/dev` and `/run` in another folder. Nothing here opens a VFIO or iommufd node, knows a
//! guest's configuration or prints. It is the only crate that writes to sysfs.
//!
//! ```no_run
//! use passthru_host::{Host, Request};
//!
//! let host = Host::new();
//! let request = Request::managed("0000:01:00.0".parse()?);
//! let assignment = host.assign(&[request], Some("guest1"), false)?; // claimed, recorded, on vfio-pci
//! for device in assignment.devices() {
//!     println!("{} is /dev/vfio/devices/{:?}", device.address, device.cdev);
//! }
//! assignment.give_back().map_err(|errors| errors.into_iter().next().unwrap())?; // back on its former driver
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abridge;
mod assignment;
mod capabilities;
mod claim;
mod device;
mod error;
mod file;
mod group;
mod host;
mod numa;
mod process;
mod record;
mod sys;
mod sysfs;
#[cfg(test)]
mod test_threads;
#[cfg(test)]
mod test_tree;
mod time_limit;
mod usage;

pub use abridge::abridge;
pub use assignment::{Assignment, DriverChange, PendingRelease, ReleaseResult, Request};
pub use capabilities::Capabilities;
pub use claim::{Claim, LockError, Owner, VirtualFunction, lock_as, lock_owner};
pub use device::{Comparison, Device, Identity, Names, Sriov, parse_device};
pub use error::Error;
pub use file::{make_own_folder, read_bounded, read_own, replace};
pub use group::Companion;
pub use host::{Host, SshSession};
pub use process::ProcessId;
pub use record::{FormerState, Leftover, LeftoverState, Record};
pub use usage::{
    BlindSpot, HostSurvey, NetworkPurpose, NetworkUsage, Severity, Usage, UsageReport, Verdict,
};
