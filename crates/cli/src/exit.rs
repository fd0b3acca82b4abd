//! Exit codes.

use std::process::ExitCode;

/// Why a command failed, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The arguments are wrong. (clap uses this code itself.)
    Usage = 2,
    /// The domain XML cannot be read, is not understood or cannot work.
    Domain = 3,
    /// The host refuses: no such device, in use, group not viable, no IOMMU, no permission.
    Host = 4,
    /// The VMM is missing, too old, or ended while it started.
    Emulator = 5,
    /// The VMM ended with an error while the guest ran.
    Guest = 6,
    /// The host is not as it was before: a device could not be given back.
    NotRestored = 7,
    /// Ended by a signal before the guest ran, and all undone.
    Interrupted = 130,
}

/// Shown below `--help`; docs/exit-codes.md says the same.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done; for `run`, the guest ended by itself or on request
    1  failed for a reason without a code of its own
    2  wrong arguments
    3  the domain XML cannot be read, is not understood or cannot work
    4  the host refuses: no such device, in use, group not viable, no IOMMU,
       no permission
    5  the VMM is missing, too old, or ended while it started
    6  the VMM ended with an error while the guest ran
    7  a device could not be given back, after a guest or a failure
  130  interrupted before the guest ran, or while devices were bound or given back";

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
