//! The subcommands of `cargo xtask lab`.

use anyhow::Result;

use super::{guests, run, setup, test};

/// A subcommand of `cargo xtask lab`.
#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// Make the virtual host: build its kernel, make its root file system and disks
    Setup(setup::Args),
    /// Run a command on the virtual host, or a shell when none is given
    Run(run::Args),
    /// Run the tests that need the virtual host, on it
    Test(test::Args),
    /// Run many small guests one after the other, and print how many were lost to the emulation
    Loop(guests::Args),
}

/// Runs a subcommand and returns its exit status.
pub(crate) fn execute(task: &Task) -> Result<u8> {
    match task {
        Task::Setup(args) => setup::run(args),
        Task::Run(args) => run::run(args),
        Task::Test(args) => test::run(args),
        Task::Loop(args) => guests::run(args),
    }
}
