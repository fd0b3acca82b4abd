//! The block devices of a device and all that are made of them: partitions, device mapper, RAID,
//! bcache, loop devices, NVMe multipath.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::loops::LoopDevice;
use crate::device::DeviceNumber;
use crate::usage::descendants::DeviceNode;
use crate::{Host, sysfs};

/// Block devices by name, with their numbers.
pub(crate) type BlockStack = BTreeMap<String, Option<DeviceNumber>>;

/// Returns the block devices given and all above them.
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
        todo.extend(
            loops
                .iter()
                .filter(|up| up.is_over(number))
                .map(|up| up.name.clone()),
        );
        stack.insert(block, number);
    }
    stack
}

/// Returns the nodes of block devices, and those by which an NVMe multipath is driven.
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

pub(crate) fn dir(host: &Host, block: &str) -> PathBuf {
    host.path("sys/class/block").join(block)
}

/// Returns the path of a block device's node: in `/dev`, `!` of its name is a `/`.
pub(crate) fn node(host: &Host, block: &str) -> String {
    let name = crate::usage::descendants::node_name(&dir(host, block));
    format!("/dev/{}", name.unwrap_or_else(|| block.replace('!', "/")))
}

pub(crate) fn number(host: &Host, block: &str) -> Option<DeviceNumber> {
    DeviceNumber::parse_block(&sysfs::read(dir(host, block).join("dev"))?)
}

pub(crate) fn partitions(host: &Host, block: &str) -> Vec<String> {
    let dir = dir(host, block);
    sysfs::names(&dir)
        .into_iter()
        .filter(|name| dir.join(name).join("partition").exists())
        .collect()
}

pub(crate) fn is_partition(host: &Host, block: &str) -> bool {
    dir(host, block).join("partition").exists()
}

pub(crate) fn holders(host: &Host, block: &str) -> Vec<String> {
    sysfs::names(dir(host, block).join("holders"))
}

/// Returns the disks of all paths that a path of an NVMe namespace is part of.
///
/// Since Linux 6.15 the disk lists its paths in `multipath`. Before, disk and path have the
/// namespace's number in common, and the names differ by the controller: `nvme0c1n1` is a path of
/// `nvme0n1`.
fn multipath_heads(host: &Host, path: &str) -> Vec<String> {
    let Some(subsystem) = subsystem(host, path) else {
        return named_head(path)
            .filter(|head| dir(host, head).exists())
            .into_iter()
            .collect();
    };
    let blocks = sysfs::names(&subsystem).into_iter();
    let heads = blocks.filter(|name| name != path && is_of_class(&subsystem.join(name), "block"));
    let own = |attribute: &str| sysfs::read(dir(host, path).join(attribute));
    let is_head = |head: &String| {
        let head = subsystem.join(head);
        let paths = sysfs::names(head.join("multipath"));
        let number = sysfs::read(head.join("nsid"));
        paths.iter().any(|name| name == path) || (paths.is_empty() && number == own("nsid"))
    };
    heads.filter(is_head).collect()
}

/// Returns the folder of the NVMe subsystem that a path's controller is part of.
fn subsystem(host: &Host, path: &str) -> Option<PathBuf> {
    let controller = dir(host, path)
        .canonicalize()
        .ok()?
        .parent()?
        .file_name()?
        .to_owned();
    let class = host.path("sys/class/nvme-subsystem");
    let folders = sysfs::names(&class)
        .into_iter()
        .map(|name| class.join(name));
    folders
        .into_iter()
        .find(|folder| folder.join(&controller).exists())
}

fn named_head(path: &str) -> Option<String> {
    let (subsystem, rest) = path.strip_prefix("nvme")?.split_once('c')?;
    let (_controller, namespace) = rest.split_once('n')?;
    Some(format!("nvme{subsystem}n{namespace}"))
}

/// Returns the character nodes (`/dev/ng0n1`) beside a disk of all paths.
fn multipath_nodes(host: &Host, block: &str) -> Vec<DeviceNode> {
    let Ok(disk) = dir(host, block).canonicalize() else {
        return Vec::new();
    };
    let Some(parent) = disk
        .parent()
        .filter(|parent| is_of_class(parent, "nvme-subsystem"))
    else {
        return Vec::new();
    };
    let names = sysfs::names(parent)
        .into_iter()
        .map(|name| parent.join(name));
    names
        .filter(|dir| is_of_class(dir, "nvme-generic"))
        .filter_map(|dir| DeviceNode::from_char_device(&dir))
        .collect()
}

fn is_of_class(dir: &Path, class: &str) -> bool {
    sysfs::link_name(dir.join("subsystem")).is_some_and(|name| name == class)
}
