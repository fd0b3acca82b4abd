//! LoopDevice devices: over a disk itself, or over a file on one.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::device::DeviceNumber;
use crate::usage::report::BlindSpot;
use crate::{Host, sys, sysfs};

/// A loop device that has a backing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoopDevice {
    pub(crate) name: String,
    /// The path of the backing file, as it was when the loop device was set up.
    pub(crate) file: String,
    /// The block device that is the backing file, or that it is on.
    over: DeviceNumber,
}

impl LoopDevice {
    pub(crate) fn is_over(&self, block: Option<DeviceNumber>) -> bool {
        block == Some(self.over)
    }
}

pub(crate) fn loops(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<LoopDevice> {
    let class = host.path("sys/class/block");
    let mut loops = Vec::new();
    for name in sysfs::names(&class)
        .into_iter()
        .filter(|name| name.starts_with("loop"))
    {
        let Some(file) = sysfs::read(class.join(&name).join("loop/backing_file")) else {
            continue;
        };
        match over(host, &name, &file) {
            Ok(over) => loops.push(LoopDevice { name, file, over }),
            Err(error) => {
                let place = format!("/dev/{name}, over {file}");
                blind_spots.push(BlindSpot::new("what a loop device is over", place, error));
            }
        }
    }
    loops
}

/// Asks the loop device, which knows the file even where its path is of another mount namespace;
/// else looks at the path.
fn over(host: &Host, name: &str, file: &str) -> std::io::Result<DeviceNumber> {
    let path = host.path(file.trim_start_matches('/'));
    if let Some(number) = status(host, name) {
        return Ok(number);
    }
    match host.number_at(&path)? {
        Some(number) => Ok(number),
        None => Ok(DeviceNumber::block(fs::metadata(&path)?.dev())),
    }
}

fn status(host: &Host, name: &str) -> Option<DeviceNumber> {
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
    if host.number_of(&file).ok()? != super::stack::number(host, name) {
        return None;
    }
    sys::backing_device(file).ok().map(DeviceNumber::block)
}
