//! `cargo xtask bench`: measurements, as ratios that hold on any machine. Each writes a section of
//! docs/benchmarks.md.

mod convert;
mod dma;
mod guests;
mod limits;
mod lists;
mod section;

use anyhow::Result;

/// The profile that users install from.
const PROFILE: &str = "dist";

/// What is measured.
#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// `passthru convert`: time of the process, cost of a device, memory
    Convert,
    /// `passthru validate`: time and memory of documents at the limits of what is read
    Limits,
    /// Mapping for DMA, on the virtual host, beside the plain ioctls and other crates
    Dma(dma::Args),
}

pub(crate) fn run(task: &Task) -> Result<u8> {
    match task {
        Task::Convert => convert::run(),
        Task::Limits => limits::run(),
        Task::Dma(args) => dma::run(args),
    }
}
