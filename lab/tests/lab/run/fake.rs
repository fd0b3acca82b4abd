//! Guests whose VMM is a stand-in for QEMU: all of `passthru run`, without a machine or a device.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_lab::{GuestManager, VirtualHost, host};

/// Program of the stand-in, in Perl, which every Debian has.
const EMULATOR: &str = include_str!("emulator.pl");
/// Time limit for quick events.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest that can be started.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) name: String,
    pub(super) xml: PathBuf,
    notes: PathBuf,
}

impl Fake {
    /// Writes the domain and its emulator, which behaves by `mode`.
    pub(super) fn new(test: &str, mode: &str) -> Self {
        let _: VirtualHost = host();
        let name = format!("{test}-{}", mode.replace([' ', '_'], "-"));
        let xml = PathBuf::from(format!("/tmp/{name}.xml"));
        let notes = PathBuf::from(format!("/tmp/{name}.notes"));
        let emulator = PathBuf::from(format!("/tmp/{name}.emulator"));
        let head = format!(
            "our $mode = '{mode}';\nour $notes = '{}';\n",
            notes.display()
        );
        write(&notes, "", 0o666);
        write(
            &emulator,
            &format!("#!/usr/bin/perl\n{head}{EMULATOR}"),
            0o755,
        );
        let domain = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>\
             <devices>\
             <emulator>{}</emulator><controller type='usb' model='none'/><memballoon model='none'/>\
             </devices></domain>",
            emulator.display()
        );
        write(&xml, &domain, 0o644);
        Self { name, xml, notes }
    }

    /// Returns the command that runs the guest. After the first signal, the guest has a day to
    /// power off.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("passthru");
        command
            .args(["run", "--stop-timeout", "86400"])
            .arg(&self.xml)
            .stdin(Stdio::null());
        command
    }

    /// Returns the emulator's notes: the commands and signals that it got, but for questions about
    /// the guest's state.
    pub(super) fn notes(&self) -> String {
        fs::read_to_string(&self.notes)
            .unwrap()
            .replace("query-status\n", "")
    }

    #[track_caller]
    pub(super) fn wait_for_note(&self, note: &str) {
        wait_for(&format!("'{note}' of {}", self.name), || {
            self.notes().lines().any(|line| line == note)
        });
    }

    pub(super) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/run/passthru/domain-{}", self.name))
    }
}

fn write(path: &PathBuf, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Waits for a condition.
#[track_caller]
pub(super) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "still no {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A running `passthru`. Drop kills it and its VMM.
pub(super) struct Manager(Child);

impl Manager {
    pub(super) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(super) fn signal(&self, signal: &str) {
        send(signal, self.0.id());
    }

    /// Waits for the end and returns the exit code, or `None` after a signal.
    #[track_caller]
    pub(super) fn wait(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(begin.elapsed() < PATIENCE, "passthru does not end"),
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Returns the peak memory in bytes, or 0 once the process has ended.
    pub(super) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
            return 0;
        };
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Returns the VMM's process id, if there is one.
    pub(super) fn vmm(&self) -> Option<u32> {
        GuestManager(self.0.id()).child()
    }

    pub(super) fn kill_vmm(&self) {
        if let Some(vmm) = self.vmm() {
            send("-KILL", vmm);
        }
    }
}

fn send(signal: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

impl Drop for Manager {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill_vmm();
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
