//! Guests that outlive their manager, and their successors.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use passthru_guest::{
    AdoptSettings, Adopted, Error, Guest, LOG_DIR, RECORD_DIR, RUN_DIR, Records, adopt, recover,
};
use passthru_host::Host;
use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{host, run};

use super::fake::wait_for;
use super::support::{Domain, PATIENCE, assert_all_back, driver, host_sum, wait_for_disk};

const TICKS: &str = "echo ready; while true; do echo tick; sleep 1; done";

fn domain(name: &'static str, script: &'static str) -> Domain {
    Domain::new(name)
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(script)
}

/// Starts a guest and kills its manager. Returns the process of the VMM.
fn orphan(name: &'static str, script: &'static str) -> u32 {
    let _ = host();
    let running = domain(name, script).start(&[]);
    let vmm = running.vmm();
    running.signal(running.manager(), "-KILL");
    assert_eq!(running.wait(), None);
    vmm
}

fn try_adopt(name: &str) -> Result<Adopted, Error> {
    let settings = AdoptSettings {
        run_dir: RUN_DIR.into(),
        log_dir: LOG_DIR.into(),
        records: Records::new(RECORD_DIR),
        capabilities: None,
    };
    adopt(name, &settings, &Host::new(), &|| false)
}

#[track_caller]
fn adopted(name: &str) -> Guest {
    match try_adopt(name) {
        Ok(Adopted::Runs(guest)) => *guest,
        other => panic!("{name}: {other:?}"),
    }
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
}

/// Waits until the guest's console prints a text.
fn wait_on_console(guest: &Guest, what: &'static str) {
    let mut console = File::open(guest.console().unwrap()).unwrap();
    let (found, wait) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let mut chunk = [0; 256];
        while !text.contains(what) {
            let Ok(count @ 1..) = console.read(&mut chunk) else {
                return;
            };
            text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        let _ = found.send(());
    });
    assert!(wait.recv_timeout(PATIENCE).is_ok(), "no '{what}'");
}

#[test]
fn guest_runs_on_after_its_manager_is_killed() {
    let vmm = orphan("unattended", TICKS);
    assert!(lives(vmm));

    let guest = adopted("unattended");

    assert_eq!((guest.pid(), guest.name()), (vmm, "unattended"));

    wait_on_console(&guest, "tick");

    // The successor manages the guest as its first manager did.
    let again = domain("unattended", TICKS).run(&[]);
    assert_eq!(again.status.code(), Some(4), "{again}");

    let running = format!("is running already, under process {}", std::process::id());
    assert!(again.stderr.contains(&running), "{again}");

    let ended = guest.end();

    assert!(ended.not_restored.is_empty(), "{:?}", ended.not_restored);
    assert!(!lives(vmm));

    assert_all_back("unattended", &[(NVME, "nvme")]);
    assert_eq!(host_sum(&wait_for_disk(NVME)), NVME_SHA256);

    let log = fs::read_to_string("/var/log/passthru/unattended.log").unwrap();
    for line in ["the VMM begins as process", "takes charge"] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn device_of_unattended_guest_is_refused() {
    let vmm = orphan("absent", TICKS);
    let other = domain("greedy", TICKS).run(&[]);
    let owner = format!("belongs to guest absent, whose VMM (pid {vmm}) may still run");

    assert_eq!(other.status.code(), Some(4), "{other}");
    assert!(other.stderr.contains(&owner), "{other}");

    let unbind = run(Command::new("passthru").args(["unbind", NVME])).expect_failure();
    assert!(unbind.stderr.contains(&owner), "{unbind}");

    let error = recover(
        "absent",
        &Records::new(RECORD_DIR),
        Path::new(RUN_DIR),
        &Host::new(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&format!("process {vmm}")), "{error}");
    assert!(lives(vmm));

    drop(adopted("absent"));
    assert_all_back("absent", &[(NVME, "nvme")]);
}

#[test]
fn left_guest_is_adopted_again() {
    let vmm = orphan("left", TICKS);
    for _ in 0..3 {
        adopted("left").leave();
        assert!(lives(vmm));
        assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));
    }

    let guest = adopted("left");
    wait_on_console(&guest, "tick");
    let _ = guest.end();
    assert_all_back("left", &[(NVME, "nvme")]);
}

#[test]
fn end_of_an_adopted_vmm_is_noticed_with_its_status() {
    let vmm = orphan("killed-later", TICKS);
    let guest = adopted("killed-later");
    let _ = run(Command::new("kill").args(["-KILL", &vmm.to_string()])).expect_success();
    let ended = guest.finish();

    assert_eq!(
        ended.status.map(|status| status.to_string()).as_deref(),
        Some("signal: 9 (SIGKILL)")
    );

    assert_all_back("killed-later", &[(NVME, "nvme")]);
}

#[test]
fn power_off_while_unattended_is_followed() {
    let vmm = orphan("off", "echo ready; sleep 3; poweroff -f");
    sleep(Duration::from_secs(15));
    assert!(lives(vmm));

    let mut guest = adopted("off");

    assert!(guest.has_events());
    assert!(guest.handle_events(&mut |_| {}).unwrap());

    // QEMU was told to quit, and closes its monitor.
    while guest.handle_events(&mut |_| {}).is_ok() {
        sleep(Duration::from_millis(10));
    }
    let ended = guest.finish();
    assert!(ended.not_restored.is_empty(), "{:?}", ended.not_restored);

    assert_all_back("off", &[(NVME, "nvme")]);
}

#[test]
fn silent_vmm_is_left_alone() {
    let vmm = orphan("silent-vmm", TICKS);
    let _ = run(Command::new("kill").args(["-STOP", &vmm.to_string()])).expect_success();
    let begin = Instant::now();
    let error = try_adopt("silent-vmm").unwrap_err();

    assert!(
        matches!(error, Error::NotAdopted { pid, .. } if pid == vmm),
        "{error}"
    );
    assert!(begin.elapsed() > Duration::from_secs(29));
    assert!(lives(vmm));
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));

    let _ = run(Command::new("kill").args(["-CONT", &vmm.to_string()])).expect_success();
    let _ = adopted("silent-vmm").end();
    assert_all_back("silent-vmm", &[(NVME, "nvme")]);
}

#[test]
fn killed_start_is_rolled_back() {
    let _ = host();
    let xml = domain("cut-short", TICKS).write();
    let mut rolled_back = 0;
    for delay in [300, 500, 600, 700, 800, 900, 1100, 1300] {
        let mut command = Command::new("passthru");
        command
            .args(["run", "--no-console"])
            .arg(&xml)
            .stdin(Stdio::null());
        let mut manager = command.stdout(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(delay));
        manager.kill().unwrap();
        manager.wait().unwrap();
        match try_adopt("cut-short").unwrap() {
            Adopted::Recovered(_) => rolled_back += 1,
            Adopted::Runs(guest) => drop(guest),
        }

        assert_all_back("cut-short", &[(NVME, "nvme")]);
        let left = run(Command::new("pgrep").args(["-f", "guest=cut-short"]));
        assert!(left.stdout.is_empty(), "after {delay} ms: {left}");
    }

    assert!(rolled_back > 0);
}

#[test]
fn dead_guest_is_recovered_instead_of_adopted() {
    let vmm = orphan("dead", TICKS);
    let _ = run(Command::new("kill").args(["-KILL", &vmm.to_string()])).expect_success();
    wait_for("end of QEMU", || {
        !Path::new(&format!("/proc/{vmm}")).exists()
    });
    let Ok(Adopted::Recovered(recovered)) = try_adopt("dead") else {
        panic!("the guest is dead")
    };

    assert_eq!(recovered.devices, [NVME.parse().unwrap()]);
    assert!(recovered.not_restored.is_empty());

    assert_all_back("dead", &[(NVME, "nvme")]);
}
