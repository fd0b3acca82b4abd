//! Tests on the virtual host's kernel: `cargo xtask lab test`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::single_range_in_vec_init,
    reason = "tests"
)]

mod conformance;
mod container;
mod device;
mod dma;
mod edu;
mod examples;
#[path = "../address_space/expected.rs"]
mod expected;
mod no_iommu;
mod space;
#[path = "../address_space/steps.rs"]
mod steps;
mod taken;
