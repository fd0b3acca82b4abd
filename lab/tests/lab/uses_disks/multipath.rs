//! A disk behind two controllers.

use std::path::{Path, PathBuf};
use std::process::Command;

use passthru_lab::devices::MULTIPATH_NVME;
use passthru_lab::{host, run};

use super::support::{Holder, Undo, expect_free, expect_used};
use crate::commands::{names, sysfs};

/// Returns the disk of the two controllers of one subsystem: the kernel's multipath head.
#[track_caller]
fn multipath_head() -> PathBuf {
    let [one, other] = MULTIPATH_NVME.map(|address| names(sysfs(address).join("nvme")));
    let subsystems = Path::new("/sys/class/nvme-subsystem");
    for subsystem in names(subsystems)
        .into_iter()
        .map(|name| subsystems.join(name))
    {
        let entries = names(&subsystem);
        let has_one = one.iter().any(|name| entries.contains(name));
        let has_other = other.iter().any(|name| entries.contains(name));
        if has_one && has_other {
            let blocks = Path::new("/sys/class/block");
            let head = entries.iter().find(|name| blocks.join(name).exists());
            return Path::new("/dev")
                .join(head.unwrap_or_else(|| panic!("{entries:?} have no disk")));
        }
    }

    panic!("no subsystem has both {one:?} and {other:?}");
}

#[test]
fn open_multipath_head_is_a_use_of_both_controllers() {
    let _host = host();
    let head = multipath_head();
    let block = Path::new("/sys/class/block").join(head.file_name().unwrap());
    let real = block.canonicalize().unwrap();

    assert!(
        real.starts_with("/sys/devices/virtual/nvme-subsystem"),
        "{}",
        real.display()
    );
    for controller in MULTIPATH_NVME {
        expect_free(controller);
    }
    let holder = Holder::start(&head, "exec 3<$DISK; echo ready; exec sleep 60");
    for controller in MULTIPATH_NVME {
        expect_used(controller, &holder.pid_text());
    }
    drop(holder);
    let mounted = Undo("umount /tmp/head 2>/dev/null; rmdir /tmp/head 2>/dev/null");
    let mount = "mkdir -p /tmp/head; mkfs.ext4 -q $HEAD; mount $HEAD /tmp/head";
    let _ = run(Command::new("sh").args(["-ec", mount]).env("HEAD", &head)).expect_success();
    for controller in MULTIPATH_NVME {
        expect_used(controller, "the file system on /tmp/head");
    }
    drop(mounted);
    for controller in MULTIPATH_NVME {
        expect_free(controller);
    }
}
