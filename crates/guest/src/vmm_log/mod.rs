//! The messages of a VMM: its standard error, the log file, and a reader of that file.

mod fifo;
mod line_splitter;
mod log_file;
mod log_reader;
#[expect(clippy::module_inception, reason = "the folder is named after it")]
mod vmm_log;

pub use log_reader::LogReader;
pub(crate) use vmm_log::log_path;
pub use vmm_log::{LOG_DIR, VmmLog};
