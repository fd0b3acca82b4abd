//! [`MachineArgs`]: arguments of all commands that boot the virtual host.

use std::path::PathBuf;
use std::time::Duration;

use super::arch::Arch;
use super::kernel::Linux;
use super::machine::Accel;

/// Arguments of a virtual host.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct MachineArgs {
    /// Architecture of the virtual host
    #[arg(long, default_value = "x86_64", value_parser = Arch::parse)]
    pub(super) arch: Arch,
    /// Series of Linux that the virtual host runs
    #[arg(long, default_value = "7.3", conflicts_with = "kernel")]
    pub(super) linux: Linux,
    /// A kernel of your own instead of the one that setup builds
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,
    /// Time limit in seconds, the boot included [default: 600 for a command, 3000 for tests, none
    /// for a shell]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Memory of the virtual host in MiB
    #[arg(long, value_name = "MIB", default_value_t = 6144)]
    pub(super) memory: u32,
    /// More words for the virtual host's kernel command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub(super) append: String,
    /// Accelerator of the virtual host: kvm needs a machine whose KVM can nest
    #[arg(long, default_value = "tcg")]
    pub(super) accel: Accel,
    /// Use the build of profile `release`
    #[arg(long)]
    release: bool,
    /// Take the binaries as they are, without building
    #[arg(long)]
    pub(super) no_build: bool,
}

impl MachineArgs {
    /// Returns the time limit, or `default` seconds if the user set none.
    pub(super) fn limit(&self, default: Option<u64>) -> Option<Duration> {
        self.timeout.or(default).map(Duration::from_secs)
    }

    /// Returns the folder of the build's profile in the target directory.
    pub(super) fn profile(&self) -> &'static str {
        if self.release { "release" } else { "debug" }
    }

    /// Returns cargo's argument for the profile.
    pub(super) fn profile_flag(&self) -> Option<&'static str> {
        self.release.then_some("--release")
    }
}
