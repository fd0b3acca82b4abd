//! Disks whose uses cannot be seen.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use passthru_lab::devices::CMB_NVME;
use passthru_lab::{Finished, host, run};

use super::support::expect_free;
use crate::commands::{GiveBack, disk, driver, passthru};

fn passthru_in_pid_namespace(arguments: &[&str]) -> Finished {
    run(Command::new("unshare")
        .args(["-pf", "--mount-proc", "passthru"])
        .args(arguments))
}

#[test]
fn uses_are_unknown_from_another_pid_namespace() {
    let _host = host();
    let finished = passthru_in_pid_namespace(&["bind", CMB_NVME]);
    let reason = "processes that have it open cannot be seen (/proc/1/ns/pid: pid:[";
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(finished.stderr.contains(reason), "{finished}");
    assert_eq!(driver(CMB_NVME).as_deref(), Some("nvme"));

    let list = passthru_in_pid_namespace(&["list", "--json", CMB_NVME])
        .expect_success()
        .stdout;
    assert!(
        list.contains("\"state\": \"unknown\"") && list.contains("/proc/1/ns/pid"),
        "{list}"
    );

    let forced = ["bind", "--dry-run", "--force", CMB_NVME];
    let forced = passthru_in_pid_namespace(&forced).expect_success();
    assert!(
        forced.stderr.starts_with("warning: ") && forced.stderr.contains(reason),
        "{forced}"
    );
}

/// Runs `list` where other users' processes are hidden, with a command prefix.
fn list_with_hidden_processes(prefix: &str) -> Finished {
    let script =
        format!("mount -t proc -o hidepid=2 proc /proc; exec {prefix} passthru list {CMB_NVME}");
    run(Command::new("unshare").args(["-m", "sh", "-ec", &script])).expect_success()
}

#[test]
fn hidden_processes_are_unknown_except_to_root() {
    let _host = host();
    let hidden = list_with_hidden_processes("setpriv --reuid=65534 --regid=65534 --clear-groups");
    assert!(hidden.stdout.contains(" unknown "), "{hidden}");
    assert!(
        hidden
            .stderr
            .contains("(/proc/1/ns/pid: No such file or directory"),
        "{hidden}"
    );

    let seen = list_with_hidden_processes("");
    assert!(
        seen.stdout.contains(" can ") && seen.stderr.is_empty(),
        "{seen}"
    );
}

#[test]
fn unbind_is_refused_from_another_pid_namespace() {
    let _host = host();
    let _give_back = GiveBack(&[CMB_NVME]);
    let _ = passthru(&["bind", CMB_NVME]).expect_success();
    let inside = passthru_in_pid_namespace(&["unbind", CMB_NVME]);

    assert_eq!(inside.status.code(), Some(4), "{inside}");
    assert!(
        inside
            .stderr
            .contains("may be in use: processes that have it open"),
        "{inside}"
    );
    assert_eq!(driver(CMB_NVME).as_deref(), Some("vfio-pci"));
}

#[test]
fn disk_without_its_node_is_unknown() {
    let _host = host();
    let disk = disk(CMB_NVME);
    let away = PathBuf::from("/dev/away");
    fs::rename(&disk, &away).unwrap();
    let finished = passthru(&["bind", CMB_NVME]);
    fs::rename(&away, &disk).unwrap();

    assert_eq!(finished.status.code(), Some(4), "{finished}");

    let reason = format!(
        "exclusive claims on it cannot be seen ({}: No such file",
        disk.display()
    );
    assert!(finished.stderr.contains(&reason), "{finished}");

    expect_free(CMB_NVME);
}
