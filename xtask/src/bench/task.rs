//! The subcommands of `cargo xtask bench`.

use anyhow::Result;

use super::{convert, dma, limits};

/// A measurement.
#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// `passthru convert`: time of the process, cost of a device, memory
    Convert,
    /// `passthru validate`: time and memory of documents at the limits of what is read
    Limits,
    /// Mapping for DMA, on the virtual host, beside the plain ioctls and other crates
    Dma(dma::Args),
}

/// Runs a measurement and returns its exit status.
pub(crate) fn execute(task: &Task) -> Result<u8> {
    match task {
        Task::Convert => convert::run(),
        Task::Limits => limits::run(),
        Task::Dma(args) => dma::run(args),
    }
}
