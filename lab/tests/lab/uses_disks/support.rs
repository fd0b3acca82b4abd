//! Support of the tests of disks in use.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use passthru_lab::devices::CMB_NVME;
use passthru_lab::run;

use crate::commands::{disk, driver, passthru, refused};

/// Runs a script with `$DISK` set.
#[track_caller]
pub(super) fn sh(script: &str) -> String {
    run(Command::new("sh")
        .args(["-ec", script])
        .env("DISK", disk(CMB_NVME)))
    .expect_success()
    .stdout
}

/// A script that undoes a test's setup on drop.
pub(super) struct Undo(pub(super) &'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = run(Command::new("sh")
            .args(["-c", self.0])
            .env("DISK", disk(CMB_NVME)));
    }
}

/// A process that uses a disk, and has reported that it is ready.
pub(super) struct Holder(pub(super) Child);

impl Holder {
    /// Starts a shell script with `$DISK` set, and waits until the script prints `ready`.
    #[track_caller]
    pub(super) fn start(disk: &Path, script: &str) -> Self {
        let mut command = Command::new("sh");
        let command = command
            .args(["-ec", script])
            .env("DISK", disk)
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let holder = Self(child);
        assert_eq!(line, "ready\n");
        holder
    }

    /// Returns the start of the process id in messages: `(pid N`.
    pub(super) fn pid_text(&self) -> String {
        format!("(pid {}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asserts that `bind` refuses a disk for a use, that `list` shows the use, and that the disk stays
/// on its driver.
#[track_caller]
pub(super) fn expect_used(device: &str, text: &str) {
    let message = refused(&["bind", device]);
    assert!(
        message.contains(&format!("{device} is in use: ")) && message.contains(text),
        "{message}"
    );
    let list = passthru(&["list", device]).expect_success().stdout;
    assert!(list.contains(" in use ") && list.contains(text), "{list}");
    assert_eq!(driver(device).as_deref(), Some("nvme"));
}

/// Asserts that a disk can be bound within 5 s. The kernel may end a use a little late.
#[track_caller]
pub(super) fn expect_free(device: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let finished = passthru(&["bind", "--dry-run", device]);
        if finished.status.success() {
            return;
        }
        assert!(Instant::now() < end, "{finished}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
