//! Commands with a time limit, whose output is shown when they fail. Not for commands that are talked to while they run.

use std::fmt;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long [`run`] waits.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that ended by itself within its time.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// What it wrote to its standard error, with invalid UTF-8 replaced.
    pub stderr: String,
    command: String,
}

impl Finished {
    /// Passes the output on when the command exited with 0.
    ///
    /// # Panics
    /// With the command's whole output, when it failed.
    #[track_caller]
    #[must_use]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Passes the output on when the command exited with another status than 0.
    ///
    /// # Panics
    /// With the command's whole output, when it succeeded or was killed by a signal.
    #[track_caller]
    #[must_use]
    pub fn expect_failure(self) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr, command } = self;
        write!(f, "{command}\n{status}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs a command to its end, without input, for at most a minute.
///
/// # Panics
/// When it can't be started or doesn't end in time.
#[track_caller]
#[must_use]
pub fn run(command: &mut Command) -> Finished {
    run_within(LIMIT, command)
}

/// Runs a command to its end, without input, for at most `limit`; it is killed then.
///
/// # Panics
/// When it can't be started or doesn't end in time (with what it has written so far).
#[track_caller]
#[must_use]
#[expect(clippy::panic, reason = "a helper of tests")]
pub fn run_within(limit: Duration, command: &mut Command) -> Finished {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status = wait_until(&mut child, Instant::now() + limit);
    if status.is_none() {
        let _ = child.kill();
    }
    let ended = status.or_else(|| child.wait().ok()).unwrap_or_else(|| panic!("{shown}: lost"));
    let finished = Finished { status: ended, stdout: text(stdout), stderr: text(stderr), command: shown };
    assert!(status.is_some(), "not done after {limit:?}: {finished}");
    finished
}

fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn text(stream: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = stream.and_then(|stream| stream.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_streams_apart_and_shows_them_on_failure() {
        let finished =
            run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect_failure();
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
        let shown = finished.to_string();
        assert!(shown.contains("exit status: 3") && shown.contains("--- stderr\nerr\n"), "{shown}");
    }

    #[test]
    #[should_panic(expected = "not done after")]
    fn a_command_over_its_time_is_killed() {
        let _ = run_within(Duration::from_millis(100), Command::new("sleep").arg("100"));
    }
}
