//! Foundation of the tests on the virtual host.
//!
//! - [`host()`] proves that a test runs on the virtual host; [`devices`] has its devices.
//! - [`run()`] and its relatives run commands with a time limit.
//! - [`each_failure`] injects failures of the kernel; [`HeldResources`] reveals leaks.
//! - [`Guest`] describes a small guest.
//! - [`Table`] checks tables that name tests, on any machine.
//!
//! A test that needs a kernel with /dev/iommu and spare devices begins with [`host()`]. The
//! function panics on any other machine, so that no machine's own devices are touched by accident.
//! `cargo xtask lab` builds and boots the virtual host.
#![forbid(unsafe_code)]

mod command;
pub mod devices;
mod fail;
mod finished;
mod guest;
mod host;
mod load;
mod manager;
mod memlock;
mod no_iommu;
mod resources;
mod running;
mod table;

pub use command::{run, run_guest, run_manager, run_within};
pub use fail::{Failure, each_failure, each_failure_leaves_nothing};
pub use finished::Finished;
pub use guest::{Guest, SUM_BEGIN, SUM_END, sum_in};
pub use host::{MARKER, PARAMETER, VirtualHost, host};
pub use manager::{GuestManager, STUCK_GUEST};
pub use memlock::within_memlock;
pub use no_iommu::NoIommuDevice;
pub use resources::HeldResources;
pub use table::{Table, read_folder};
