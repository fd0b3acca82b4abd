//! `cargo xtask bench`: measurements, as ratios that hold on any machine.
//!
//! Each bench writes a section of docs/benchmarks.md.

mod build;
mod convert;
mod dma;
mod guests;
mod limits;
mod lists;
mod section;
mod task;

pub(crate) use task::{Task, execute};
