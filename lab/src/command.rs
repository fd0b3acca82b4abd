//! Commands with a time limit, whose output is shown when they fail. Not for commands that are
//! talked to while they run.

use std::fmt;
use std::fs;
use std::io::{Read, Write, stderr};
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::{Arc, Mutex, PoisonError};
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
pub fn run_within(limit: Duration, command: &mut Command) -> Finished {
    let mut running = Running::start(command);
    match running.wait_until(Instant::now() + limit) {
        Some(status) => running.finished(status),
        None => running.fail_late(limit),
    }
}

/// Exit status of a test program in which a guest stood still: `cargo xtask lab test` then boots
/// the virtual host again.
pub const STOOD_STILL: u8 = 86;

/// Number of `limit`s that a guest may run for in all.
const LIMITS_IN_ALL: u32 = 10;

/// Runs QEMU, alone, with the guest's console on standard output. The guest may print nothing for
/// `limit` at most.
///
/// If it prints nothing for longer, then the emulation under it has lost it: no code of ours had a
/// part in it. The whole test program ends with [`STOOD_STILL`] then. Such guests were seen idle,
/// and seen busy with a state of their CPU that the emulator had mixed up. Not for guests that code
/// under test started or assists.
///
/// # Panics
/// If QEMU can't be started, or the guest runs for ten times `limit`.
#[track_caller]
#[must_use]
pub fn run_guest(limit: Duration, qemu: &mut Command) -> Finished {
    run_while_it_prints(limit, qemu, leave_a_guest_that_stands_still)
}

/// Runs a program that starts QEMU and passes the guest's console on to its own standard output,
/// `passthru run` say.
///
/// If nothing is printed for `limit` though the program waits for its QEMU, then the guest stands
/// still, and the whole test program ends with [`STOOD_STILL`]: see
/// [`GuestsManager::leave_if_its_guest_stands_still`].
///
/// # Panics
/// If the program can't be started, prints nothing for `limit` while it is busy or has no QEMU, or
/// runs for ten times `limit`.
#[track_caller]
#[must_use]
pub fn run_manager(limit: Duration, command: &mut Command) -> Finished {
    run_while_it_prints(limit, command, |running, limit| {
        GuestsManager(running.child.id()).leave_if_its_guest_stands_still(limit);
        running.fail_late(limit)
    })
}

/// Runs a command to its end, for ten times `limit` at most. `on_silence` ends it if it prints
/// nothing for `limit`.
#[track_caller]
fn run_while_it_prints(
    limit: Duration,
    command: &mut Command,
    on_silence: fn(Running, Duration) -> !,
) -> Finished {
    let mut running = Running::start(command);
    for _ in 0..LIMITS_IN_ALL {
        let printed = running.stdout.length();
        if let Some(status) = running.wait_until(Instant::now() + limit) {
            return running.finished(status);
        }
        if running.stdout.length() == printed {
            on_silence(running, limit);
        }
    }
    running.fail_late(limit * LIMITS_IN_ALL)
}

/// The process id of a program that started QEMU.
#[derive(Debug, Clone, Copy)]
pub struct GuestsManager(pub u32);

impl GuestsManager {
    /// Ends the test program with [`STOOD_STILL`] if the program only waits for its QEMU. To be
    /// called when the guest has printed nothing for `limit`.
    ///
    /// The program waits if it has used no processor time for some seconds and QEMU is its child. A
    /// fault of the program that makes every guest stand still is not hidden: three boots at most
    /// end that way.
    pub fn leave_if_its_guest_stands_still(self, limit: Duration) {
        if let Some(load) = self.load_of_its_guest_while_idle() {
            let _ = writeln!(
                stderr(),
                "lab: a guest of a program under test has printed nothing for {limit:?}, {load}"
            );
            exit(STOOD_STILL.into())
        }
    }

    /// Returns the load of QEMU if the program itself uses no processor time meanwhile.
    fn load_of_its_guest_while_idle(self) -> Option<String> {
        let qemu = self.child()?;
        let before = ticks(self.0)?;
        let load = load(qemu);
        (ticks(self.0) == Some(before)).then_some(load)
    }

    /// Returns the first child of the program.
    #[must_use]
    pub fn child(self) -> Option<u32> {
        let parent = format!("PPid:\t{}", self.0);
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes.find(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line == parent)
        })
    }
}

fn leave_a_guest_that_stands_still(running: Running, limit: Duration) -> ! {
    let load = load(running.child.id());
    let finished = running.kill();
    // Not by a macro: what these print is kept for a test that fails.
    let _ = writeln!(
        stderr(),
        "lab: a guest has printed nothing for {limit:?}, {load}: {finished}"
    );
    exit(STOOD_STILL.into())
}

/// Measures for some seconds how much processor time a QEMU uses.
fn load(qemu: u32) -> String {
    const SECONDS: u64 = 5;
    let before = ticks(qemu);
    thread::sleep(Duration::from_secs(SECONDS));
    match (before, ticks(qemu)) {
        (Some(before), Some(after)) => {
            format!(
                "its QEMU used {} ticks of {SECONDS} s",
                after.saturating_sub(before)
            )
        }
        _ => "the load of its QEMU is not known".into(),
    }
}

/// Returns user and system time of a process, in clock ticks.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

/// A command that runs, and what it has written.
struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
    command: String,
}

impl Running {
    #[track_caller]
    #[expect(clippy::panic, reason = "a helper of tests")]
    fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let stdout = Output::collect(child.stdout.take());
        let stderr = Output::collect(child.stderr.take());
        Self {
            child,
            stdout,
            stderr,
            command: shown,
        }
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Kills the command, which has not ended in time.
    #[track_caller]
    #[expect(clippy::panic, reason = "a helper of tests")]
    fn fail_late(self, limit: Duration) -> ! {
        let finished = self.kill();
        panic!("not done after {limit:?}: {finished}")
    }

    fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap_or_default();
        self.finished(status)
    }

    fn finished(self, status: ExitStatus) -> Finished {
        Finished {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            command: self.command,
        }
    }
}

/// What a stream gave so far; a thread reads it.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn collect(stream: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = stream.map(|mut stream| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    bytes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(&chunk[..count]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn length(&self) -> usize {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Reads the stream to its end.
    fn text(self) -> String {
        let _ = self.reader.map(JoinHandle::join);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_shows_both_streams() {
        let finished =
            run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect_failure();
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("out\n", "err\n")
        );
        let shown = finished.to_string();
        assert!(
            shown.contains("exit status: 3") && shown.contains("--- stderr\nerr\n"),
            "{shown}"
        );
    }

    #[test]
    fn guest_that_prints_may_exceed_the_limit() {
        let mut guest = Command::new("sh");
        guest.args(["-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"]);
        let finished = run_guest(Duration::from_millis(600), &mut guest).expect_success();
        assert_eq!(finished.stdout, "1\n2\n3\n4\n5\n6\n");
    }

    #[test]
    #[should_panic(expected = "not done after")]
    fn guest_that_never_ends_is_killed() {
        let mut guest = Command::new("sh");
        guest.args(["-c", "while :; do echo line; sleep 0.02; done"]);
        let _ = run_guest(Duration::from_millis(100), &mut guest);
    }

    #[test]
    fn busy_command_uses_more_time_than_an_idle_one() {
        let busy = Running::start(Command::new("sh").args(["-c", "while :; do :; done"]));
        let idle = Running::start(Command::new("sleep").arg("100"));
        thread::sleep(Duration::from_millis(500));
        assert!(ticks(busy.child.id()) > ticks(idle.child.id()));
        for running in [busy, idle] {
            let _ = running.kill();
        }
    }

    #[test]
    fn guest_is_stuck_only_if_its_manager_is_idle() {
        for (script, waits) in [
            ("sleep 100 & wait", true),
            ("sleep 100 & while :; do :; done", false),
            ("exec sleep 100", false),
        ] {
            let manager = Running::start(Command::new("sh").args(["-c", script]));
            thread::sleep(Duration::from_millis(300));
            let process = GuestsManager(manager.child.id());
            let child = process.child();
            assert_eq!(
                process.load_of_its_guest_while_idle().is_some(),
                waits,
                "{script}"
            );
            let _ = child.map(|pid| Command::new("kill").arg(pid.to_string()).status());
            let _ = manager.kill();
        }
    }

    #[test]
    #[should_panic(expected = "not done after")]
    fn manager_without_a_guest_has_failed() {
        let _ = run_manager(Duration::from_millis(100), Command::new("sleep").arg("100"));
    }

    #[test]
    #[should_panic(expected = "not done after")]
    fn command_over_its_time_is_killed() {
        let _ = run_within(Duration::from_millis(100), Command::new("sleep").arg("100"));
    }
}
