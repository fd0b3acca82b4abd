//! What tests on the virtual host stand on: the guard that keeps them there, its devices, commands
//! with a time limit, failures of the kernel, and the small guest; and for tests anywhere, the
//! tables that say which test shows what.
//!
//! A test that needs a kernel with /dev/iommu and spare devices begins with [`host()`], which
//! panics anywhere but on the virtual host, so that no machine's own devices are touched by
//! accident. Not for building or booting it: that is `cargo xtask lab`.
#![forbid(unsafe_code)]

mod command;
pub mod devices;
mod fail;
mod guest;
mod host;
mod memlock;
mod no_iommu;
mod table;

pub use command::{Finished, GuestsManager, STOOD_STILL, run, run_guest, run_manager, run_within};
pub use fail::{Failure, Held, each_failure, each_failure_leaves_nothing};
pub use guest::{Guest, SUM_BEGIN, SUM_END, sum_in};
pub use host::{MARKER, PARAMETER, VirtualHost, host};
pub use memlock::within_memlock;
pub use no_iommu::NoIommuDevice;
pub use table::{Table, text_of};
