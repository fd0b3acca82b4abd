//! The messages of a VMM: its standard error, the log file, and a reader of that file.

mod line_splitter;
mod log_file;
mod log_reader;

pub use log_reader::LogReader;
