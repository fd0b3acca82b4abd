//! Devices that processes have open, mapped or registered with an io_uring.

pub(crate) mod holders;
mod io_uring;
pub(crate) mod scan;
mod uring_list;
mod vfio_file;
