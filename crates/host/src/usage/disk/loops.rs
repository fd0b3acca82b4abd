//! Loop devices over a disk, or over a file on a disk.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::block_device;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::{Host, sys, sysfs};

/// A loop device that is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoopDevice {
    pub(crate) name: String,
    /// Path of the backing file at the time of the set-up.
    pub(crate) file: String,
    /// Block device that is the backing file, or that has the backing file.
    backing: DeviceNumber,
}

impl LoopDevice {
    /// Returns whether the loop device is over a block device.
    pub(crate) fn is_over(&self, block: Option<DeviceNumber>) -> bool {
        block == Some(self.backing)
    }
}

/// Lists the loop devices. One whose backing device is unknown becomes a blind spot.
pub(super) fn loops(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<LoopDevice> {
    let class = host.path("sys/class/block");
    let mut names = sysfs::names(&class);
    names.retain(|name| name.starts_with("loop"));
    let mut loops = Vec::new();
    for name in names {
        let Some(file) = sysfs::read(class.join(&name).join("loop/backing_file")) else {
            continue;
        };
        match backing_device(host, &name, &file) {
            Ok(backing) => loops.push(LoopDevice {
                name,
                file,
                backing,
            }),
            Err(error) => {
                let place = format!("/dev/{name}, over {file}");
                blind_spots.push(BlindSpot::new("what a loop device is over", place, error));
            }
        }
    }

    loops
}

/// Returns the block device below a loop device.
///
/// The loop driver knows the backing file even if its path belongs to another mount namespace. If
/// the driver cannot be asked, the path is used.
fn backing_device(host: &Host, name: &str, file: &str) -> io::Result<DeviceNumber> {
    if let Some(number) = loop_status(host, name) {
        return Ok(number);
    }
    let path = host.path(file.trim_start_matches('/'));
    match host.number_at(&path)? {
        Some(number) => Ok(number),
        None => Ok(DeviceNumber::block(fs::metadata(&path)?.dev())),
    }
}

/// Asks the loop driver for the backing device (`LOOP_GET_STATUS64`).
fn loop_status(host: &Host, name: &str) -> Option<DeviceNumber> {
    if host.is_copy() {
        return None;
    }
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let node = Path::new("/dev").join(name);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock.cast_signed())
        .open(node)
        .ok()?;
    if host.number_of(&file).ok()? != block_device::number(host, name) {
        return None;
    }
    sys::backing_device(file).ok().map(DeviceNumber::block)
}
