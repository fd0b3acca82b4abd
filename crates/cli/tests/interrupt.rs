//! Signals that ask `passthru run` to end before its guest runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Time limit from a signal to the end.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Writes an emulator that writes its process number and hangs, and a domain that names it. Returns
/// the paths of the domain and of the number.
fn write_hanging_emulator(folder: &Path) -> (PathBuf, PathBuf) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let emulator = folder.join("emulator");
    let started = folder.join("started");
    fs::create_dir(&started).unwrap();
    fs::set_permissions(&started, fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "#!/bin/sh\necho $$ > {}/pid\nexec sleep 60\n",
        started.display()
    );
    fs::write(&emulator, script).unwrap();
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
    let xml = folder.join("vm.xml");
    let text = format!(
        "<domain type='kvm'><name>interrupted-{}</name><memory>1024</memory><os>\
         <type arch='x86_64' machine='q35'>hvm</type></os><devices>\
         <emulator>{}</emulator></devices></domain>",
        std::process::id(),
        emulator.display()
    );
    fs::write(&xml, text).unwrap();
    (xml, started.join("pid"))
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "{what} has not come");
        sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a process. Kills it if it does not end within the limit.
fn ends(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        sleep(Duration::from_millis(10));
    }

    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn signal_while_qemu_is_asked_ends_the_run_at_once() {
    for signal in ["TERM", "INT"] {
        let folder = TempDir::new().unwrap();
        let (xml, pid) = write_hanging_emulator(folder.path());
        // The parent of the test may ignore the signal, as a shell does for background jobs.
        let mut command = Command::new("env");
        command.args([
            "--default-signal=INT,TERM",
            env!("CARGO_BIN_EXE_passthru"),
            "run",
        ]);
        let mut child = command.arg(&xml).stderr(Stdio::null()).spawn().unwrap();
        let emulator = wait_for("the emulator", || {
            fs::read_to_string(&pid)
                .ok()
                .filter(|pid| pid.ends_with('\n'))
        });
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let status = ends(&mut child, TIME_LIMIT);
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(130),
            "SIG{signal}"
        );
        let process = Path::new("/proc").join(emulator.trim());
        wait_for("the end of the emulator", || {
            (!is_running(&process)).then_some(())
        });
    }
}

/// Returns whether a process runs. A zombie has ended.
fn is_running(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z')
}
