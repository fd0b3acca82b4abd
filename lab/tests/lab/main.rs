//! Tests on the virtual host: `cargo xtask lab test`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod commands;
mod domains;
mod fail;
mod guest;
mod host;
mod hotplug;
mod kernel;
mod machine;
mod network;
mod no_iommu;
mod qemu;
mod run;
mod uses_disks;
mod uses_nics;
