//! A closed terminal or a dead pipe does not kill the guest.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use passthru_lab::host;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::fake::{Fake, Manager, wait_for};

/// Runs a guest with this standard error, and ends it by a signal. The guest must end in order.
#[track_caller]
fn ends_in_order(fake: &Fake, stderr: Stdio, signal: &str) {
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(stderr));
    fake.wait_for_note("cont");
    manager.signal(signal);
    assert_eq!(manager.wait(), Some(0), "{}: {}", fake.name, fake.notes());
    assert!(
        fake.notes().ends_with("cont\nsystem_powerdown\nquit\n"),
        "{}",
        fake.notes()
    );
    assert!(!fake.folder().exists(), "{}", fake.name);
}

fn dead_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn dead_pipe_on_stderr_does_not_end_the_guest() {
    let _ = host();
    ends_in_order(&Fake::new("dead-pipe", "polite"), dead_pipe(), "-TERM");
}

#[test]
fn full_disk_on_stderr_does_not_end_the_guest() {
    let _ = host();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    ends_in_order(&Fake::new("full", "polite"), full.into(), "-INT");
}

#[test]
fn warning_of_the_vmm_to_a_dead_pipe_does_not_end_the_guest() {
    let _ = host();
    let fake = Fake::new("warning", "words");
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(dead_pipe()));
    fake.wait_for_note("cont");
    sleep(Duration::from_secs(1));

    assert_eq!(manager.child().try_wait().unwrap(), None);

    manager.kill_vmm();
    assert_eq!(manager.wait(), Some(6));
}

#[test]
fn reader_that_does_not_read_delays_nothing() {
    let _ = host();
    let fake = Fake::new("unread", "words");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(writer));
    fake.wait_for_note("cont");
    sleep(Duration::from_secs(2));
    manager.signal("-TERM");
    sleep(Duration::from_millis(500));
    manager.kill_vmm();

    assert_eq!(manager.wait(), Some(6));

    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert!(
        !bytes.contains(&0x1b),
        "escape sequences of the VMM reach the terminal"
    );
}

#[test]
fn late_reader_gets_the_last_error() {
    let _ = host();
    let fake = Fake::new("late-reader", "words");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(writer));
    fake.wait_for_note("cont");
    sleep(Duration::from_secs(2));
    manager.kill_vmm();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();

    assert_eq!(manager.wait(), Some(6));

    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("messages were lost: standard error was not read in time\n"),
        "{} bytes",
        text.len()
    );
    assert!(
        text.contains("error: the VMM ended with signal: 9 (SIGKILL)\n"),
        "{} bytes",
        text.len()
    );
}

/// Opens a pseudo terminal; returns its master and its slave.
fn pty() -> (OwnedFd, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    (
        master,
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap(),
    )
}

/// Runs a guest on a terminal of its own, and then closes the terminal.
fn on_closed_terminal(fake: &Fake, prefix: &[&str]) -> Manager {
    let (master, slave) = pty();
    let run = fake.command();
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .args(prefix)
        .arg(run.get_program())
        .args(run.get_args());
    command
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave);
    let manager = Manager::start(&mut command);
    // The command holds the terminal open too.
    drop(command);
    fake.wait_for_note("cont");
    drop(master);
    manager
}

#[test]
fn closed_terminal_ends_the_guest_in_order() {
    let _ = host();
    let fake = Fake::new("hangup", "polite");
    let mut manager = on_closed_terminal(&fake, &[]);
    assert_eq!(manager.wait(), Some(0), "{}", fake.notes());
    assert!(
        fake.notes().ends_with("cont\nsystem_powerdown\nquit\n"),
        "{}",
        fake.notes()
    );
}

#[test]
fn guest_under_nohup_outlives_its_terminal() {
    let _ = host();
    let fake = Fake::new("nohup", "polite");
    let mut manager = on_closed_terminal(&fake, &["env", "--ignore-signal=HUP"]);
    sleep(Duration::from_secs(1));

    assert_eq!(
        manager.child().try_wait().unwrap(),
        None,
        "{}",
        fake.notes()
    );

    manager.signal("-TERM");
    assert_eq!(manager.wait(), Some(0), "{}", fake.notes());
    assert!(
        fake.notes().ends_with("cont\nsystem_powerdown\nquit\n"),
        "{}",
        fake.notes()
    );
}

#[test]
fn each_ending_signal_ends_the_guest_in_order() {
    let _ = host();
    for signal in ["-HUP", "-INT", "-QUIT", "-TERM"] {
        ends_in_order(
            &Fake::new(&format!("signal{signal}"), "polite"),
            Stdio::null(),
            signal,
        );
    }
}

#[test]
fn killed_manager_leaves_its_vmm_alone() {
    let _ = host();
    let fake = Fake::new("orphan-fake", "polite");
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(Stdio::null()));
    fake.wait_for_note("cont");
    let vmm = manager.vmm().unwrap();
    manager.child().kill().unwrap();

    assert_eq!(manager.wait(), None);

    sleep(Duration::from_secs(1));

    assert!(fake.notes().ends_with("cont\n"), "{}", fake.notes());

    let kill = Command::new("kill")
        .args(["-KILL", &vmm.to_string()])
        .status();
    assert!(kill.unwrap().success());

    let process = format!("/proc/{vmm}");
    wait_for("end of the VMM", || !Path::new(&process).exists());
    let recovered = Command::new("passthru")
        .args(["forget", &fake.name])
        .status();
    assert!(recovered.unwrap().success());
    assert!(!fake.folder().exists());
}
