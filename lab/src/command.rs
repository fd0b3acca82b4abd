//! Commands with a time limit, whose output is shown on failure.

use std::io::{Write, stderr};
use std::process::{Command, exit};
use std::time::{Duration, Instant};

use crate::finished::Finished;
use crate::load::describe_load;
use crate::manager::{GuestManager, STUCK_GUEST};
use crate::running::Running;

/// Time limit of [`run`].
const LIMIT: Duration = Duration::from_secs(60);

/// Number of `limit`s that a guest may run for in total.
const LIMITS_IN_TOTAL: u32 = 10;

/// Runs a command without input to its end, for at most a minute.
///
/// # Panics
/// - If the command cannot be started.
/// - If the command does not end in time; the message has its output so far.
#[track_caller]
#[must_use]
pub fn run(command: &mut Command) -> Finished {
    run_within(LIMIT, command)
}

/// Runs a command without input to its end, for at most `limit`.
///
/// # Panics
/// - If the command cannot be started.
/// - If the command does not end in time; it is killed, and the message has its output so far.
#[track_caller]
#[must_use]
pub fn run_within(limit: Duration, command: &mut Command) -> Finished {
    let mut running = Running::start(command);
    match running.wait_until(Instant::now() + limit) {
        Some(status) => running.finish(status),
        None => running.fail_late(limit),
    }
}

/// Runs QEMU itself, with the guest's console on standard output. The guest may print nothing for
/// at most `limit`.
///
/// A guest that is silent for longer was lost by the emulation under it; no code under test is
/// involved. The whole test program then exits with [`STUCK_GUEST`]. Some such guests were idle;
/// others were busy with a mixed-up state of their CPU.
///
/// Not for guests that code under test started or assists.
///
/// # Panics
/// - If QEMU cannot be started.
/// - If the guest runs for ten times `limit`.
#[track_caller]
#[must_use]
pub fn run_guest(limit: Duration, qemu: &mut Command) -> Finished {
    run_while_it_prints(limit, qemu, exit_with_stuck_guest)
}

/// Runs a program that starts QEMU and copies the guest's console to its own standard output, such
/// as `passthru run`.
///
/// If the program prints nothing for `limit` while it only waits for its QEMU, the guest is stuck.
/// The whole test program then exits with [`STUCK_GUEST`]. See
/// [`GuestManager::exit_if_guest_is_stuck`].
///
/// # Panics
/// - If the program cannot be started.
/// - If the program prints nothing for `limit` while it is busy or has no QEMU.
/// - If the program runs for ten times `limit`.
#[track_caller]
#[must_use]
pub fn run_manager(limit: Duration, command: &mut Command) -> Finished {
    run_while_it_prints(limit, command, |running, limit| {
        GuestManager(running.id()).exit_if_guest_is_stuck(limit);
        running.fail_late(limit)
    })
}

/// Runs a command to its end, for at most ten times `limit`. `on_silence` ends the command if it
/// prints nothing for `limit`.
#[track_caller]
fn run_while_it_prints(
    limit: Duration,
    command: &mut Command,
    on_silence: fn(Running, Duration) -> !,
) -> Finished {
    let mut running = Running::start(command);
    for _ in 0..LIMITS_IN_TOTAL {
        let printed = running.printed();
        if let Some(status) = running.wait_until(Instant::now() + limit) {
            return running.finish(status);
        }
        if running.printed() == printed {
            on_silence(running, limit);
        }
    }

    running.fail_late(limit * LIMITS_IN_TOTAL)
}

/// Exits with [`STUCK_GUEST`], and shows the output of QEMU.
fn exit_with_stuck_guest(running: Running, limit: Duration) -> ! {
    let load = describe_load(running.id());
    let finished = running.kill();
    // `eprintln!` would print to the buffer of the test harness, which is lost on exit.
    let _ = writeln!(
        stderr(),
        "lab: a guest has printed nothing for {limit:?}, {load}: {finished}"
    );
    exit(STUCK_GUEST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_shows_both_streams() {
        let finished =
            run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect_failure();
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.stderr, "err\n");

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
