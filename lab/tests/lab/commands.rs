//! Commands of `passthru`, and the devices that they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use passthru_lab::{Finished, run};

/// `O_EXCL` of Linux: claims a whole block device.
pub(crate) const O_EXCL: i32 = 0o200;

pub(crate) fn passthru(arguments: &[&str]) -> Finished {
    run(Command::new("passthru").args(arguments))
}

/// Runs a command that the host refuses, and returns its message.
#[track_caller]
pub(crate) fn refused(arguments: &[&str]) -> String {
    let finished = passthru(arguments);
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    finished.stderr
}

pub(crate) fn sysfs(device: &str) -> PathBuf {
    Path::new("/sys/bus/pci/devices").join(device)
}

pub(crate) fn driver(device: &str) -> Option<String> {
    let link = fs::read_link(sysfs(device).join("driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

pub(crate) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Waits for the node of an NVMe disk, which the driver makes some time after it has taken the
/// device.
#[track_caller]
pub(crate) fn disk(device: &str) -> PathBuf {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        for controller in names(sysfs(device).join("nvme")) {
            let disk = PathBuf::from(format!("/dev/{controller}n1"));
            if disk.exists() {
                return disk;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }

    panic!("{device} has no disk");
}

/// Devices that are given back on drop.
pub(crate) struct GiveBack<'a>(pub(crate) &'a [&'a str]);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        let _ = passthru(&[&["unbind"], self.0].concat());
    }
}
