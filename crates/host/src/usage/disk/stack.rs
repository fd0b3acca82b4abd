//! The stack of block devices over a device: partitions, device mapper, RAID, bcache, loop devices,
//! NVMe multipath.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::block_device::{dir, holders, node, number, partitions};
use super::loops::LoopDevice;
use crate::device::DeviceNumber;
use crate::usage::descendants::DeviceNode;
use crate::{Host, sysfs};

/// Block devices by name, with their numbers.
pub(crate) type BlockStack = BTreeMap<String, Option<DeviceNumber>>;

/// Returns the given block devices and all block devices that are made of them.
pub(crate) fn stack(host: &Host, blocks: &[String], loops: &[LoopDevice]) -> BlockStack {
    let mut stack = BlockStack::new();
    let mut todo = blocks.to_vec();
    while let Some(block) = todo.pop() {
        if stack.contains_key(&block) {
            continue;
        }
        let number = number(host, &block);
        todo.extend(partitions(host, &block));
        todo.extend(holders(host, &block));
        todo.extend(multipath_heads(host, &block));
        let above = loops.iter().filter(|device| device.is_over(number));
        todo.extend(above.map(|device| device.name.clone()));
        stack.insert(block, number);
    }

    stack
}

/// Returns the nodes of the block devices, and the character nodes beside NVMe multipath disks.
pub(crate) fn nodes(host: &Host, stack: &BlockStack) -> Vec<DeviceNode> {
    let mut nodes = Vec::new();
    for (block, number) in stack {
        nodes.push(DeviceNode {
            path: node(host, block),
            number: *number,
            vital: true,
        });
        nodes.extend(multipath_nodes(host, block));
    }

    nodes
}

/// Returns the multipath disks that a path of an NVMe namespace is part of.
///
/// Linux 6.15 and later list the paths of a disk in `multipath`. Before, disk and path have the
/// same namespace number (`nsid`), and their names differ by the controller: `nvme0c1n1` is a path
/// of `nvme0n1`.
fn multipath_heads(host: &Host, path: &str) -> Vec<String> {
    let Some(subsystem) = nvme_subsystem(host, path) else {
        let head = head_by_name(path).filter(|head| dir(host, head).exists());
        return head.into_iter().collect();
    };
    let mut heads = sysfs::names(&subsystem);
    heads.retain(|head| {
        head != path
            && is_of_class(&subsystem.join(head), "block")
            && is_head_of(host, &subsystem.join(head), path)
    });
    heads
}

fn is_head_of(host: &Host, head: &Path, path: &str) -> bool {
    let paths = sysfs::names(head.join("multipath"));
    if paths.is_empty() {
        let own_id = sysfs::read(dir(host, path).join("nsid"));
        return sysfs::read(head.join("nsid")) == own_id;
    }

    paths.iter().any(|name| name == path)
}

/// Returns the folder of the NVMe subsystem that a path's controller is part of.
fn nvme_subsystem(host: &Host, path: &str) -> Option<PathBuf> {
    let block = dir(host, path).canonicalize().ok()?;
    let controller = block.parent()?.file_name()?;
    let class = host.path("sys/class/nvme-subsystem");
    sysfs::names(&class)
        .into_iter()
        .map(|name| class.join(name))
        .find(|folder| folder.join(controller).exists())
}

fn head_by_name(path: &str) -> Option<String> {
    let (subsystem, rest) = path.strip_prefix("nvme")?.split_once('c')?;
    let (_controller, namespace) = rest.split_once('n')?;
    Some(format!("nvme{subsystem}n{namespace}"))
}

/// Returns the character nodes (`/dev/ng0n1`) beside an NVMe multipath disk.
fn multipath_nodes(host: &Host, block: &str) -> Vec<DeviceNode> {
    let Ok(disk) = dir(host, block).canonicalize() else {
        return Vec::new();
    };
    let Some(parent) = disk.parent() else {
        return Vec::new();
    };
    if !is_of_class(parent, "nvme-subsystem") {
        return Vec::new();
    }
    sysfs::names(parent)
        .into_iter()
        .map(|name| parent.join(name))
        .filter(|dir| is_of_class(dir, "nvme-generic"))
        .filter_map(|dir| DeviceNode::from_char_device(&dir))
        .collect()
}

fn is_of_class(dir: &Path, class: &str) -> bool {
    sysfs::link_name(dir.join("subsystem")).is_some_and(|name| name == class)
}
