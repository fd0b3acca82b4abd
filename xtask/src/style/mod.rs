//! `cargo xtask style`: measures of how the sources read, with aims.
//!
//! The aims guard the rules of CONTRIBUTING.md. They do not replace a reader.

mod measure;
mod prose;
mod report;
mod source;

pub(crate) use measure::{Args, check, run};
