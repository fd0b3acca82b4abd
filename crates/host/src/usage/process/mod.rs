//! Devices that processes have open, mapped or registered with an io_uring.

mod file_mapping;
pub(crate) mod holders;
mod io_uring;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod process;
pub(crate) mod scan;
mod uring_list;
mod vfio_file;

pub(crate) use process::Process;
