//! `cargo xtask lab`: the virtual host, from setting it up to running commands and tests on it.

mod arch;
mod archive;
mod boot;
mod cache;
mod child;
mod cpio;
mod disks;
mod guests;
mod initrd;
mod kernel;
mod kernel_log;
mod machine;
mod packages;
mod pins;
mod progress;
mod rootfs;
mod run;
mod runs;
mod setup;
mod streams;
mod test;
mod test_progress;
mod tsc;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use arch::Arch;
use kernel::Linux;

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

/// How the virtual host is run.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct MachineArgs {
    /// Architecture of the virtual host
    #[arg(long, default_value = "x86_64", value_parser = Arch::parse)]
    arch: Arch,
    /// Series of Linux that the virtual host runs
    #[arg(long, default_value = "7.3", conflicts_with = "kernel")]
    linux: Linux,
    /// A kernel of your own instead of the one that setup builds
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Time limit in seconds, the boot included [default: 600 for a command, 3000 for tests, none
    /// for a shell]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Memory of the virtual host in MiB
    #[arg(long, value_name = "MIB", default_value_t = 6144)]
    memory: u32,
    /// More words for the virtual host's kernel command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// How the virtual host is run: kvm needs a machine whose KVM can nest
    #[arg(long, default_value = "tcg")]
    accel: machine::Accel,
    /// Use the build of profile `release`
    #[arg(long)]
    release: bool,
    /// Take the binaries as they are, without building
    #[arg(long)]
    no_build: bool,
}

impl MachineArgs {
    fn limit(&self, default: Option<u64>) -> Option<Duration> {
        self.timeout.or(default).map(Duration::from_secs)
    }

    fn profile(&self) -> &'static str {
        if self.release { "release" } else { "debug" }
    }
}

pub(crate) fn run(task: &Task) -> Result<u8> {
    match task {
        Task::Setup(args) => setup::run(args),
        Task::Run(args) => run::run(args),
        Task::Test(args) => test::run(args),
        Task::Loop(args) => guests::run(args),
    }
}

/// Runs a command on the virtual host and gives its exit status.
pub(crate) fn command(machine: &MachineArgs, words: &[OsString]) -> Result<u8> {
    run::command(machine, words)
}

/// Builds the command `passthru` for the virtual host, unless the arguments take it as it is.
pub(crate) fn build(machine: &MachineArgs) -> Result<()> {
    if machine.no_build {
        Ok(())
    } else {
        run::build(machine)
    }
}

/// Runs a command that needs no build of ours on the virtual host; gives its exit status and,
/// besides showing it, its output.
pub(crate) fn record(machine: &MachineArgs, words: &[OsString]) -> Result<(u8, Vec<u8>)> {
    run::record(machine, words)
}

/// Runs all tests that need the virtual host.
pub(crate) fn test(machine: &MachineArgs) -> Result<u8> {
    test::all(machine)
}
