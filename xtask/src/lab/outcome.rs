//! [`Outcome`]: the end of a job.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Result, bail};

/// Exit code of a job over its time limit, as of `timeout`.
const TIMED_OUT: u8 = 124;

/// End of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The job exited with this status.
    Exited(u8),
    /// The job reached its time limit.
    TimedOut,
    /// The virtual host got stuck before the job began.
    NotStarted,
    /// The job's output paused for too long.
    StoodStill,
    /// This program got this signal.
    Interrupted(i32),
    /// A signal ended the emulator, and the virtual host's kernel reported no fault.
    EmulatorDied,
    /// The virtual host ended before the job: its kernel panicked, or the job powered it off.
    HostEnded,
}

impl Outcome {
    /// Returns the exit code of an outcome, or an error for one of the lab's own failures.
    pub(super) fn code(self) -> Result<u8> {
        match self {
            Self::Exited(status) => Ok(status),
            Self::TimedOut => Ok(TIMED_OUT),
            Self::Interrupted(signal) => Ok(128 + signal as u8),
            Self::NotStarted => bail!("the virtual host does not start"),
            Self::StoodStill => bail!("the virtual host stands still"),
            Self::EmulatorDied => bail!("the emulator of the virtual host died"),
            Self::HostEnded => bail!("the virtual host ended before the command did"),
        }
    }

    /// Returns the outcome of a job whose emulator ended before the job did.
    ///
    /// A panic of the virtual host's kernel ends QEMU with status 0, not by a signal.
    pub(super) fn from_emulator(end: ExitStatus) -> Self {
        if end.signal().is_some() {
            Self::EmulatorDied
        } else {
            Self::HostEnded
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn outcome_of(script: &str) -> Outcome {
        let status = Command::new("sh").args(["-c", script]).status();
        Outcome::from_emulator(status.unwrap())
    }

    #[test]
    fn only_a_signal_is_the_death_of_the_emulator() {
        assert_eq!(outcome_of("kill -ABRT $$"), Outcome::EmulatorDied);
        assert_eq!(outcome_of("exit 0"), Outcome::HostEnded);
        assert_eq!(outcome_of("exit 1"), Outcome::HostEnded);
    }
}
