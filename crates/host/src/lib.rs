//! PCI and mediated devices of a Linux host, and the binding of these devices to VFIO drivers.
//!
//! This crate lists devices and IOMMU groups, finds the usages of a device by the host, and binds
//! devices to drivers. Claims keep two processes from changing the same device. Records keep the
//! former state of each device, so that every device can be given back.
//!
//! All access is through a [`Host`], which also works on a copy of `/sys`, `/proc`, `/dev` and
//! `/run` in another folder. The crate does not open nodes of VFIO or iommufd, and does not print.
//! The crate does not read the configuration of guests.
//!
//! ```no_run
//! use passthru_host::{Host, Request};
//!
//! let host = Host::new();
//! let request = Request::managed("0000:01:00.0".parse()?);
//! // Claims and records the device, and binds it to vfio-pci.
//! let assignment = host.assign(&[request], Some("guest1"), false)?;
//! for device in assignment.devices() {
//!     if let Some(cdev) = &device.cdev {
//!         println!("{} is /dev/vfio/devices/{cdev}", device.address);
//!     }
//! }
//! // Gives the device back to its former driver.
//! let result = assignment.give_back();
//! # result.map_err(|mut errors| errors.remove(0))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abridge;
mod assignment;
mod capabilities;
mod claim;
mod device;
mod dmi;
mod error;
mod file;
mod group;
mod host;
mod mdev;
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
pub use claim::{
    Claim, DriverStep, LockError, Owner, StepState, VirtualFunction, lock_as, lock_owner,
};
pub use device::{Comparison, Device, Identity, Names, Sriov, parse_device};
pub use error::Error;
pub use file::{check_owner, make_own_folder, read_bounded, read_own, read_own_within, replace};
pub use group::{Companion, VfioNode};
pub use host::{Host, SshSession};
pub use mdev::{DeviceId, MediatedClaim, MediatedDevice, ParseDeviceIdError, ParseUuidError, Uuid};
pub use process::ProcessId;
pub use record::{FormerState, Leftover, LeftoverState, Record};
pub use usage::{
    BlindSpot, HeldDisks, HostSurvey, NetworkPurpose, NetworkUsage, Severity, Usage, UsageReport,
    Verdict,
};
