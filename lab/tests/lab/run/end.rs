//! The guest's device is given back, however the guest ends.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{host, run};

use super::privileges::WAIT;
use super::support::{Domain, IOMMUFD, TYPE1, assert_all_back, driver, host_sum, wait_for_disk};

fn waiting(name: &'static str) -> Domain {
    waiting_with(name, IOMMUFD)
}

/// Returns a guest that waits, whose device has this `<driver>`.
fn waiting_with(name: &'static str, driver: &str) -> Domain {
    Domain::new(name).hostdev(NVME, driver, "").script(WAIT)
}

#[test]
fn killed_qemu_gives_the_device_back() {
    let _ = host();
    for backend in [IOMMUFD, TYPE1] {
        let running = waiting_with("killed", backend).start(&[]);
        assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));
        running.signal(running.vmm(), "-KILL");
        assert_eq!(running.wait(), Some(6));
        assert_all_back("killed", &[(NVME, "nvme")]);
        assert_eq!(host_sum(&wait_for_disk(NVME)), NVME_SHA256);
    }
}

#[test]
fn sigterm_ends_a_guest_that_ignores_the_power_button() {
    let _ = host();
    // The guest ignores its power button, so the time limit ends it.
    let running = waiting("terminated").start(&["--stop-timeout", "1"]);
    running.signal(running.manager(), "-TERM");
    assert_eq!(running.wait(), Some(0));

    assert_all_back("terminated", &[(NVME, "nvme")]);
}

#[test]
fn unbind_gives_back_devices_of_a_dead_guest() {
    let _ = host();
    let running = waiting("orphan").start(&[]);
    let vmm = running.vmm();
    running.signal(running.manager(), "-KILL");

    assert_eq!(running.wait(), None);

    let _ = run(Command::new("kill").args(["-KILL", &vmm.to_string()])).expect_success();
    let deadline = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{vmm}")).exists() {
        assert!(Instant::now() < deadline, "QEMU outlives SIGKILL");
        std::thread::sleep(Duration::from_millis(50));
    }

    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));

    let _ = run(Command::new("passthru").args(["unbind", NVME])).expect_success();
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));

    // The leftover folder does not keep the guest from starting.
    let again = waiting("orphan").start(&["--stop-timeout", "1"]);
    again.signal(again.manager(), "-TERM");
    assert_eq!(again.wait(), Some(0));

    assert_all_back("orphan", &[(NVME, "nvme")]);
}

#[test]
fn guest_does_not_start_while_its_orphaned_vmm_lives() {
    let _ = host();
    let running = waiting("stubborn").start(&[]);
    let vmm = running.vmm();
    running.signal(running.manager(), "-KILL");

    assert_eq!(running.wait(), None);

    let refused = waiting("stubborn").run(&[]);

    assert_eq!(refused.status.code(), Some(4), "{refused}");
    assert!(
        refused.stderr.contains(&format!("as process {vmm}")),
        "{refused}"
    );

    let forget = run(Command::new("passthru").args(["forget", "stubborn"])).expect_failure();
    assert_eq!(forget.status.code(), Some(4), "{forget}");

    let list = run(Command::new("passthru").arg("list")).expect_success();
    assert!(list.stderr.contains(&format!("as process {vmm}")), "{list}");

    let owner = format!("guest stubborn (pid {vmm})");
    assert!(list.stdout.contains(&owner), "{list}");

    let _ = run(Command::new("kill").args(["-KILL", &vmm.to_string()])).expect_success();
    let deadline = Instant::now() + Duration::from_secs(20);
    while Path::new(&format!("/proc/{vmm}")).exists() {
        assert!(Instant::now() < deadline, "QEMU outlives SIGKILL");
        std::thread::sleep(Duration::from_millis(50));
    }

    let again = waiting("stubborn").start(&["--stop-timeout", "1"]);
    again.signal(again.manager(), "-TERM");
    assert_eq!(again.wait(), Some(0));

    assert_all_back("stubborn", &[(NVME, "nvme")]);
}

#[test]
fn start_refused_by_qemu_gives_the_device_back() {
    let _ = host();
    std::fs::write("/tmp/empty.rom", "").unwrap();
    let rom = "<rom file='/tmp/empty.rom'/>";
    for backend in [IOMMUFD, TYPE1] {
        let finished = Domain::new("refused").hostdev(NVME, backend, rom).run(&[]);
        assert_eq!(finished.status.code(), Some(5), "{finished}");
        for word in ["ended while it started", "hostdev0", NVME, "is empty"] {
            assert!(
                finished.stderr.contains(word),
                "'{word}' is not in: {finished}"
            );
        }

        assert_all_back("refused", &[(NVME, "nvme")]);
    }
}

#[test]
fn signal_at_any_moment_of_the_start_undoes_it() {
    let _ = host();
    for backend in [IOMMUFD, TYPE1] {
        signal_the_start(&waiting_with("hasty", backend).write());
    }
}

/// Starts the guest of a file again and again, and sends a signal after each of several delays.
fn signal_the_start(xml: &Path) {
    for delay in [0, 100, 300, 500, 700, 900, 1200, 1600, 2100] {
        let mut command = Command::new("passthru");
        command
            .args(["run", "--stop-timeout", "0"])
            .arg(xml)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut manager = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = run(Command::new("kill").args(["-TERM", &manager.id().to_string()]));
        let status = manager.wait().unwrap();
        assert_all_back("hasty", &[(NVME, "nvme")]);
        assert!(
            status.code().is_none_or(|code| code == 0 || code == 130),
            "after {delay} ms: {status}"
        );
    }
}

#[test]
fn missing_file_gives_the_device_back() {
    let _ = host();
    let rom = "<rom file='/nonexistent.rom'/>";
    let finished = Domain::new("missing").hostdev(NVME, IOMMUFD, rom).run(&[]);
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(finished.stderr.contains("/nonexistent.rom"), "{finished}");

    assert_all_back("missing", &[(NVME, "nvme")]);
}
