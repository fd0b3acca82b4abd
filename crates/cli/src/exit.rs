//! Exit codes.

use std::process::ExitCode;

use passthru_guest::{Error as GuestError, HotplugError};
use passthru_host::Error as HostError;

/// Exit code of a command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A failure without a code of its own.
    Failure = 1,
    /// Wrong arguments. (clap uses this code itself.)
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
    /// A signal ended the command before the guest ran, and everything is undone.
    Interrupted = 130,
}

/// Text below `--help`. docs/exit-codes.md has the same list.
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

impl Code {
    /// Returns the code for an error of the host. The code shows whether the host is as it was
    /// before.
    pub(crate) fn for_host_error(error: &HostError) -> Self {
        match error {
            HostError::Interrupted => Self::Interrupted,
            // A write that the kernel has not ended is not undone.
            HostError::NotUndone { .. } | HostError::Stuck { .. } => Self::NotRestored,
            HostError::Several(errors)
                if errors
                    .iter()
                    .any(|error| Self::for_host_error(error) == Self::NotRestored) =>
            {
                Self::NotRestored
            }
            _ => Self::Host,
        }
    }

    /// Returns the code for an error of a change of a running guest's devices.
    const fn for_hotplug_error(error: &HotplugError) -> Self {
        match error {
            HotplugError::Unsupported { .. }
            | HotplugError::Options(_)
            | HotplugError::NotPluggable(_)
            | HotplugError::Device(_) => Self::Domain,
            HotplugError::NotRun
            | HotplugError::UnplugRefused { .. }
            | HotplugError::NotReleased { .. } => Self::Guest,
            HotplugError::Refused { .. } | HotplugError::NoDescriptor { .. } => Self::Emulator,
            HotplugError::Memlock { .. }
            | HotplugError::VfioNode { .. }
            | HotplugError::GroupStays { .. } => Self::Host,
            _ => Self::Failure,
        }
    }

    /// Returns the code for an error of a guest.
    pub(crate) fn for_guest_error(error: &GuestError) -> Self {
        match error {
            GuestError::Ended { .. }
            | GuestError::Spawn { .. }
            | GuestError::Monitor(_)
            | GuestError::Password { .. } => Self::Emulator,
            GuestError::Hotplug(error) => Self::for_hotplug_error(error),
            GuestError::Interrupted => Self::Interrupted,
            GuestError::NotRestored { .. } => Self::NotRestored,
            GuestError::Host(error) => Self::for_host_error(error),
            GuestError::Several(errors) => errors.first().map_or(Self::Host, Self::for_guest_error),
            GuestError::Image(_) | GuestError::CommandLine(_) | GuestError::NoTemplate { .. } => {
                Self::Domain
            }
            _ => Self::Host,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
