//! Limits on waiting: for the kernel, and for programs that it has us run.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest message of a program that is kept, in bytes.
const MESSAGE: u64 = 64 << 10;
/// TargetScan path of programs that are run as root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs work that may block in the kernel on a thread of its own, and returns its result. Returns
/// `None` if it has not ended after `limit`. The thread goes on then, with all that it owns:
/// nothing can stop it, and the process ends only after it.
///
/// # Errors
/// If there is no room for another thread. Nothing has been done then.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("kernel".into())
        .spawn(move || {
            // There is no receiver any more if the limit has passed.
            let _ = sender.send(work());
        })?;
    Ok(receiver.recv_timeout(limit).ok())
}

/// Runs a program with a fixed search path and no other environment, and returns its messages. If
/// it does not end in time, it is killed and not waited for.
pub(crate) fn run(limit: Duration, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => messages(child, limit, program),
        Err(error) => error.to_string(),
    }
}

fn messages(mut child: Child, limit: Duration, program: &str) -> String {
    let end = Instant::now() + limit;
    let (sender, receiver) = mpsc::sync_channel(1);
    if let Some(stderr) = child.stderr.take() {
        let read = move || {
            let mut message = Vec::new();
            let _ = stderr.take(MESSAGE).read_to_end(&mut message);
            let _ = sender.send(String::from_utf8_lossy(&message).trim().to_owned());
        };
        // Without a reader the program could wait for one without end.
        if let Err(error) = thread::Builder::new().name("messages".into()).spawn(read) {
            let _ = child.kill().and_then(|()| child.wait());
            return format!("cannot read the messages of {program}: {error}");
        }
    }
    let message = receiver.recv_timeout(limit);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= end || message == Err(RecvTimeoutError::Timeout) {
            let _ = child.kill();
            return format!("{program} did not end within {} s", limit.as_secs_f32());
        }
        thread::sleep(Duration::from_millis(5));
    }
    message.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_threads::{forbid_threads, is_without_threads};

    #[test]
    fn work_that_ends_in_time_gives_its_result() {
        assert_eq!(within(Duration::from_secs(40), || 7).unwrap(), Some(7));
    }

    #[test]
    fn work_that_blocks_is_left_after_the_limit() {
        let (sender, receiver) = mpsc::channel::<()>();
        let blocked = within(Duration::from_millis(20), move || receiver.recv().is_ok());
        assert_eq!(blocked.unwrap(), None);
        drop(sender);
    }

    #[test]
    fn program_gets_a_fixed_environment_alone() {
        let message = run(
            Duration::from_secs(40),
            "/usr/bin/env",
            &["sh", "-c", "env >&2"],
        );
        let names: Vec<&str> = message
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        let own = ["PWD", "SHLVL", "_"]; // set by the shell itself
        let given: Vec<&&str> = names.iter().filter(|name| !own.contains(name)).collect();
        assert_eq!(given, [&"PATH"], "{message}");
        assert!(message.contains(&format!("PATH={PATH}")), "{message}");
    }

    #[test]
    fn program_that_hangs_is_killed_and_named() {
        let begin = Instant::now();
        let message = run(Duration::from_millis(50), "/bin/sleep", &["60"]);
        assert_eq!(message, "/bin/sleep did not end within 0.05 s");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn program_is_ended_where_no_thread_can_be_made() {
        if !is_without_threads("time_limit::tests::program_is_ended_where_no_thread_can_be_made") {
            return;
        }
        let child = Command::new("/bin/sleep")
            .arg("60")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        forbid_threads();
        let message = messages(child, Duration::from_secs(40), "sleep");
        assert!(
            message.starts_with("cannot read the messages of sleep"),
            "{message}"
        );
        assert!(!process.exists());
    }
}
