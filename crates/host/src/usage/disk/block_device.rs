//! Attributes of a block device in sysfs. A block device is named as in `/sys/class/block`.

use std::path::PathBuf;

use crate::device::DeviceNumber;
use crate::usage::descendants::node_name;
use crate::{Host, sysfs};

/// Returns the folder of a block device in sysfs.
pub(super) fn dir(host: &Host, block: &str) -> PathBuf {
    host.path("sys/class/block").join(block)
}

/// Returns the path of a block device's node. A `!` in the device's name is a `/` in `/dev`.
pub(super) fn node(host: &Host, block: &str) -> String {
    let name = node_name(&dir(host, block));
    format!("/dev/{}", name.unwrap_or_else(|| block.replace('!', "/")))
}

/// Reads the number of a block device.
pub(super) fn number(host: &Host, block: &str) -> Option<DeviceNumber> {
    DeviceNumber::parse_block(&sysfs::read(dir(host, block).join("dev"))?)
}

/// Lists the partitions of a block device.
pub(super) fn partitions(host: &Host, block: &str) -> Vec<String> {
    let dir = dir(host, block);
    let mut names = sysfs::names(&dir);
    names.retain(|name| dir.join(name).join("partition").exists());
    names
}

/// Returns whether a block device is a partition.
pub(super) fn is_partition(host: &Host, block: &str) -> bool {
    dir(host, block).join("partition").exists()
}

/// Lists the block devices that are made of a block device: device mapper, RAID, …
pub(super) fn holders(host: &Host, block: &str) -> Vec<String> {
    sysfs::names(dir(host, block).join("holders"))
}
