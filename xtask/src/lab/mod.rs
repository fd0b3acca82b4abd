//! `cargo xtask lab`: the virtual host, from setting it up to running commands and tests on it.

mod arch;
mod archive;
mod args;
mod boot;
mod boot_watch;
mod cache;
mod child;
mod cpio;
mod disks;
mod durations;
mod guests;
mod initrd;
mod job;
mod kernel;
mod kernel_log;
mod machine;
mod outcome;
mod output;
mod packages;
mod pins;
mod progress;
mod rootfs;
mod run;
mod runs;
mod setup;
mod shell;
mod streams;
mod task;
mod test;
mod test_progress;
mod tsc;

pub(crate) use args::MachineArgs;
pub(crate) use run::{build, command, record};
pub(crate) use task::{Task, execute};
pub(crate) use test::run_all_tests;
