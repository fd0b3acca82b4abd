//! Time limits for work in the kernel and for programs.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Number of bytes that are read of a program's messages.
const MAX_MESSAGE: u64 = 64 << 10;
/// Search path of programs that are run as root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs work that may block in the kernel on a new thread, and returns the result.
///
/// Returns `None` if the work has not ended after `limit`. The thread then goes on and keeps all
/// that it owns. While the kernel blocks the thread uninterruptibly, the process cannot end.
///
/// # Errors
/// If no thread can be created, the error of that call. The work has not begun then.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("kernel".into())
        .spawn(move || {
            // After the limit, there is no receiver any more.
            let _ = sender.send(work());
        })?;
    Ok(receiver.recv_timeout(limit).ok())
}

/// Runs a program, and returns its messages (standard error) or a description of the failure.
///
/// The program's environment holds only a fixed search path. A program that exceeds the limit is
/// killed, and not waited for.
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
        let reader = thread::Builder::new()
            .name("messages".into())
            .spawn(move || {
                let mut message = Vec::new();
                let _ = stderr.take(MAX_MESSAGE).read_to_end(&mut message);
                let _ = sender.send(String::from_utf8_lossy(&message).trim().to_owned());
            });
        // Without a reader, the program could block on its messages forever.
        if let Err(error) = reader {
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
    fn work_within_the_limit_returns_its_result() {
        assert_eq!(within(Duration::from_secs(40), || 7).unwrap(), Some(7));
    }

    #[test]
    fn work_beyond_the_limit_returns_none() {
        let (sender, receiver) = mpsc::channel::<()>();
        let blocked = within(Duration::from_millis(20), move || receiver.recv().is_ok());
        assert_eq!(blocked.unwrap(), None);
        drop(sender);
    }

    #[test]
    fn program_gets_only_a_fixed_environment() {
        let message = run(
            Duration::from_secs(40),
            "/usr/bin/env",
            &["sh", "-c", "env >&2"],
        );
        let set_by_the_shell = ["PWD", "SHLVL", "_"];
        let mut names: Vec<&str> = Vec::new();
        for line in message.lines() {
            let name = line.split_once('=').map(|(name, _)| name);
            names.extend(name.filter(|name| !set_by_the_shell.contains(name)));
        }

        assert_eq!(names, ["PATH"], "{message}");
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
    fn program_is_killed_if_no_thread_can_be_created() {
        if !is_without_threads("time_limit::tests::program_is_killed_if_no_thread_can_be_created") {
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
