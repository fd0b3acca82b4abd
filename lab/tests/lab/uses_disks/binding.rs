//! Changes between the check and the unbind, and names after them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use passthru_lab::devices::CMB_NVME;
use passthru_lab::{Finished, host, run};

use super::support::{Undo, expect_used, sh};
use crate::commands::{GiveBack, disk, passthru};

/// Runs `bind` for a missing driver, with a script in place of `modprobe`.
///
/// `bind` calls modprobe between its first check and the unbind.
fn bind_with(between: &str) -> Finished {
    fs::write("/tmp/between", format!("#!/bin/sh\n{between}\n")).unwrap();
    fs::set_permissions("/tmp/between", fs::Permissions::from_mode(0o755)).unwrap();
    // This kernel has no modules, and hence no such file. A mount namespace provides it.
    let sysctl = "boot=$(cat /proc/sys/kernel/random/boot_id); \
                  mount -t tmpfs none /proc/sys/kernel; \
                  mkdir /proc/sys/kernel/random; echo $boot >/proc/sys/kernel/random/boot_id; \
                  echo /tmp/between >/proc/sys/kernel/modprobe";
    let script = format!("{sysctl}; exec passthru bind --driver no-such-driver {CMB_NVME}");
    run(Command::new("unshare").args(["-m", "sh", "-ec", &script]))
}

#[test]
fn mount_between_check_and_unbind_is_refused() {
    let _host = host();
    let _undo = Undo("umount /run/uses; wipefs -qa $DISK");
    sh("mkfs.ext4 -q -F $DISK; mkdir -p /run/uses; rm -f /tmp/mount.said");
    let mount = format!(
        "mount {} /run/uses 2>/tmp/mount.said",
        disk(CMB_NVME).display()
    );
    let finished = bind_with(&format!("{mount}; echo \"exit $?\" >>/tmp/mount.said"));

    assert!(
        finished.stderr.contains("no PCI driver 'no-such-driver'"),
        "{finished}"
    );

    let mounted = fs::read_to_string("/tmp/mount.said").unwrap();
    assert!(mounted.ends_with("exit 32\n"), "{mounted}");

    sh("mount $DISK /run/uses"); // the hold has ended with the refused command
    expect_used(CMB_NVME, "the file system on /run/uses");
}

#[test]
fn names_of_disks_are_the_same_after_bind_and_unbind() {
    let _host = host();
    let _give_back = GiveBack(&[CMB_NVME]);
    let before = disk(CMB_NVME);
    let _ = passthru(&["bind", CMB_NVME]).expect_success();
    let _ = passthru(&["unbind", CMB_NVME]).expect_success();

    assert_eq!(disk(CMB_NVME), before);
}
