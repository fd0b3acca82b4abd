//! [`Finished`]: the result of a command.

use std::fmt;
use std::process::ExitStatus;

/// A command that ended by itself within its time limit.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, with invalid UTF-8 replaced.
    pub stderr: String,
    pub(crate) command: String,
}

impl Finished {
    /// Returns the result of a command that exited with 0.
    ///
    /// # Panics
    /// With the command's whole output, if the command failed.
    #[track_caller]
    #[must_use]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Returns the result of a command that exited with a status other than 0.
    ///
    /// # Panics
    /// With the command's whole output, if the command succeeded or was killed by a signal.
    #[track_caller]
    #[must_use]
    pub fn expect_failure(self) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
            command,
        } = self;
        write!(
            f,
            "{command}\n{status}\n--- stdout\n{stdout}--- stderr\n{stderr}---"
        )
    }
}
