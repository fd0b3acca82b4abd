//! The log of a VMM, with real processes in the place of the VMM.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_guest::{LogReader, VmmLog};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log/vm.log");
    (folder, path)
}

/// Starts a shell whose standard error is the log.
fn spawn(log: &mut VmmLog, script: &str) -> Child {
    let stderr = Stdio::from(log.open_writer().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", script]).stderr(stderr);
    command.spawn().unwrap()
}

fn run(log: &mut VmmLog, script: &str) {
    let status = spawn(log, script).wait().unwrap();
    assert!(status.success(), "{status}");
}

/// Waits for the log once, as a loop does. Returns whether it was ready.
fn turn(log: &mut VmmLog) -> bool {
    let Some(fd) = log.poll_fd() else {
        return false;
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    let is_ready = poll(&mut fds, Some(&limit)).unwrap() > 0;
    if is_ready {
        log.ready();
    }
    is_ready
}

fn settle(log: &mut VmmLog) {
    for _ in 0..1000 {
        if !turn(log) {
            return;
        }
    }

    panic!("the log does not come to rest");
}

#[test]
fn lines_are_kept_and_logged_with_their_time() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    log.note("the guest is started");
    run(
        &mut log,
        "echo one >&2; printf '\\033[2Jtwo\\n\\nthree' >&2",
    );
    settle(&mut log);

    assert!(log.poll_fd().is_none(), "the end of the VMM is not seen");
    assert_eq!(log.messages(), "one\n\\u{1b}[2Jtwo\nthree\n");

    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines().map(|line| line.split_once(' ').unwrap());
    let (time, first) = lines.next().unwrap();

    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    assert_eq!(first, "passthru: the guest is started");

    let rest: Vec<_> = lines.map(|(_, line)| line).collect();

    assert_eq!(rest, ["VMM: one", "VMM: \\u{1b}[2Jtwo", "VMM: three"]);
}

#[test]
fn writer_never_waits() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    let mut writer = File::from(log.open_writer().unwrap());
    let mut written = 0;
    let error = loop {
        match writer.write(&[b'x'; 1000]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };

    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(written >= 60_000, "{written}");

    settle(&mut log);

    assert_eq!(writer.write(b"more\n").unwrap(), 5);
}

#[test]
fn lines_without_a_supervisor_are_kept_for_the_next() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    // `sh` has no handler for SIGPIPE.
    let script = "read line; echo alone >&2; read line; echo again >&2";
    let stderr = Stdio::from(log.open_writer().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", script]).stderr(stderr);
    let mut vmm = command.stdin(Stdio::piped()).spawn().unwrap();
    // The command has a copy of the descriptor.
    drop(command);
    drop(log);
    let mut stdin = vmm.stdin.take().unwrap();
    stdin.write_all(b"\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));

    let mut log = VmmLog::open(folder.path(), &path).unwrap();
    settle(&mut log);

    assert_eq!(log.messages(), "alone\n");
    assert!(log.poll_fd().is_some());

    stdin.write_all(b"\n").unwrap();

    assert!(vmm.wait().unwrap().success());

    settle(&mut log);

    assert_eq!(log.messages(), "alone\nagain\n");
    assert!(log.poll_fd().is_none());
}

#[test]
fn child_of_the_vmm_is_not_waited_for() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    run(&mut log, "printf last >&2; sleep 3 & exit 0");
    let start = Instant::now();
    log.finish();

    assert_eq!(log.messages(), "last\n");
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn flood_is_bounded_in_rate_and_memory() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    let mut writer = File::from(log.open_writer().unwrap());
    let start = Instant::now();
    let mut written = 0;
    while log.poll_fd().is_some() {
        // A byte that grows when it is escaped, without line ends.
        written += writer.write(&[7; 4096]).unwrap_or(0);
        log.ready();
        assert!(written < 512 << 10, "nothing stops the flood");
    }

    assert!(written >= 256 << 10, "{written}");
    assert!(log.messages().len() <= 50 * ((2 << 10) * 6 + 1));

    let end = log.deadline().unwrap();

    assert!(end <= start + Duration::from_secs(2));

    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    log.ready();

    assert!(log.poll_fd().is_some() && log.deadline().is_none());
}

#[test]
fn many_short_lines_leave_bounded_files() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    let mut writer = File::from(log.open_writer().unwrap());
    for _ in 0..40 {
        let _ = writer.write(&b"a\n".repeat(30_000));
        log.ready();
    }

    let size = fs::metadata(&path).unwrap().len();

    assert!(size <= 1 << 20, "{size}");

    let older = folder.path().join("log/vm.log.1");

    assert!(fs::metadata(older).unwrap().len() <= 1 << 20);
    assert_eq!(log.messages(), "a\n".repeat(50));
}

#[test]
fn log_that_cannot_be_written_harms_nothing() {
    let (folder, path) = folder();
    fs::write(folder.path().join("log"), "a file, not a folder").unwrap();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    run(&mut log, "echo kept >&2");
    settle(&mut log);

    assert_eq!(log.messages(), "kept\n");
}

#[test]
fn log_that_breaks_later_is_written_again() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    run(&mut log, "echo kept >&2");
    settle(&mut log);

    assert_eq!(log.messages(), "kept\n");

    fs::remove_dir(&path).unwrap();
    log.note("again");
    let text = fs::read_to_string(&path).unwrap();

    assert!(text.ends_with(" passthru: again\n"), "{text}");
}

#[test]
fn logged_lines_are_read_while_they_come() {
    let (folder, path) = folder();
    let mut log = VmmLog::create(folder.path(), &path).unwrap();
    let mut reader = LogReader::open(&path).unwrap();

    assert!(reader.read().unwrap().is_empty());

    log.note("first");
    let text = String::from_utf8(reader.read().unwrap()).unwrap();

    assert!(text.ends_with("Z passthru: first\n"), "{text}");
}

#[test]
fn fifo_of_an_earlier_guest_is_replaced() {
    let (folder, path) = folder();
    let mut first = VmmLog::create(folder.path(), &path).unwrap();
    let _writer: OwnedFd = first.open_writer().unwrap();
    let mut second = VmmLog::create(folder.path(), &path).unwrap();
    run(&mut second, "echo new >&2");
    settle(&mut second);
    settle(&mut first);

    assert_eq!(
        (second.messages(), first.messages()),
        ("new\n".into(), String::new())
    );
}
