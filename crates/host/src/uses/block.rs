//! Uses of block devices: file systems, swap, exclusive claims; also through partitions, device mapper, RAID,
//! bcache and NVMe multipath.

use std::collections::BTreeSet;
use std::fs;

use rustix::fs::{Mode, OFlags, open};

use super::{Below, Usage, Use};
use crate::{Host, sysfs};

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor`; an anonymous number for file systems over several devices.
    number: String,
    /// The part of the file system that is mounted.
    root: String,
    mount_point: String,
    source: String,
}

pub(crate) fn uses(usage: &Usage, below: &Below) -> Vec<Use> {
    let host = &usage.host;
    let stack = stack(host, &below.blocks);
    let mut uses: BTreeSet<Use> = BTreeSet::new();
    for block in &with_btrfs_siblings(host, &stack) {
        let number = sysfs::read(dir(host, block).join("dev"));
        let mounted = |mount: &&Mount| {
            number.as_ref() == Some(&mount.number)
                || mount.source.split(':').any(|source| names_block(host, source, block))
        };
        let mounts: Vec<&Mount> = usage.mounts.iter().filter(mounted).collect();
        uses.extend(
            without_binds(mounts).into_iter().map(|mount| Use::Mount {
                block: label(host, block),
                mount_point: mount.mount_point.clone(),
            }),
        );
        if usage.swaps.iter().any(|swap| names_block(host, swap, block)) {
            uses.insert(Use::Swap { block: label(host, block) });
        }
    }
    if uses.is_empty() {
        uses.extend(stack.iter().filter(|block| is_claimed(host, block)).map(|block| Use::Exclusive {
            block: label(host, block),
            holders: holders(host, block).iter().map(|holder| label(host, holder)).collect(),
        }));
    }
    uses.into_iter().collect()
}

pub(crate) fn mounts(host: &Host) -> Vec<Mount> {
    let text = sysfs::read(host.path("proc/self/mountinfo")).unwrap_or_default();
    text.lines().filter_map(parse_mount).collect()
}

/// Paths of the swap devices and files.
pub(crate) fn swaps(host: &Host) -> Vec<String> {
    let text = sysfs::read(host.path("proc/swaps")).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`
fn parse_mount(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    Some(Mount {
        number: fields.next()?.into(),
        root: unescape(fields.next()?),
        mount_point: unescape(fields.next()?),
        source: unescape(rest.split(' ').nth(1)?),
    })
}

/// Where the whole of a file system is mounted, mounts of its parts (there can be hundreds) say nothing more.
fn without_binds(mut mounts: Vec<&Mount>) -> Vec<&Mount> {
    if mounts.iter().any(|mount| mount.root == "/") {
        mounts.retain(|mount| mount.root == "/");
    }
    mounts
}

/// Undoes the kernel's escapes: `\040` for a space, and so on.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The block devices given and all that are made of them.
fn stack(host: &Host, blocks: &[String]) -> BTreeSet<String> {
    let mut stack = BTreeSet::new();
    let mut todo = blocks.to_vec();
    while let Some(block) = todo.pop() {
        if stack.insert(block.clone()) {
            todo.extend(partitions(host, &block));
            todo.extend(holders(host, &block));
            todo.extend(multipath_head(&block).filter(|head| dir(host, head).exists()));
        }
    }
    stack
}

fn partitions(host: &Host, block: &str) -> Vec<String> {
    let dir = dir(host, block);
    sysfs::names(&dir).into_iter().filter(|name| dir.join(name).join("partition").exists()).collect()
}

fn holders(host: &Host, block: &str) -> Vec<String> {
    sysfs::names(dir(host, block).join("holders"))
}

/// One path of an NVMe namespace is `nvmeXcYnZ`, below controller Y; the disk of all paths is `nvmeXnZ`.
fn multipath_head(block: &str) -> Option<String> {
    let (subsystem, rest) = block.strip_prefix("nvme")?.split_once('c')?;
    let (_controller, namespace) = rest.split_once('n')?;
    Some(format!("nvme{subsystem}n{namespace}"))
}

/// A btrfs over several devices is mounted from one of them.
fn with_btrfs_siblings(host: &Host, stack: &BTreeSet<String>) -> BTreeSet<String> {
    let btrfs = host.path("sys/fs/btrfs");
    let mut all = stack.clone();
    for id in sysfs::names(&btrfs) {
        let devices = sysfs::names(btrfs.join(id).join("devices"));
        if devices.iter().any(|device| stack.contains(device)) {
            all.extend(devices);
        }
    }
    all
}

/// Says whether a path that the kernel reported is a block device: by name, by link or by its name as a mapping.
fn names_block(host: &Host, path: &str, block: &str) -> bool {
    let Some(below_dev) = path.strip_prefix("/dev/") else { return false };
    let target = fs::canonicalize(host.path("dev").join(below_dev)).ok();
    below_dev == block
        || target.is_some_and(|target| target.file_name().is_some_and(|name| name == block))
        || mapping(host, block).is_some_and(|name| below_dev == format!("mapper/{name}"))
}

/// Asks the kernel for the block device exclusively; `EBUSY` says that another has it so.
fn is_claimed(host: &Host, block: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let result = open(host.path("dev").join(block.replace('!', "/")), flags, Mode::empty());
    matches!(result, Err(rustix::io::Errno::BUSY))
}

/// What a block device is called where people see it.
fn label(host: &Host, block: &str) -> String {
    mapping(host, block).unwrap_or_else(|| block.into())
}

fn mapping(host: &Host, block: &str) -> Option<String> {
    sysfs::read(dir(host, block).join("dm/name"))
}

fn dir(host: &Host, block: &str) -> std::path::PathBuf {
    host.path("sys/class/block").join(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const NVME: &str = "sys/devices/pci/0000:01:00.0";

    fn uses_with(tree: &Tree, mountinfo: &str, swaps: &str) -> Vec<Use> {
        tree.file("proc/self/mountinfo", mountinfo);
        tree.file("proc/swaps", format!("Filename\tType\tSize\tUsed\tPriority\n{swaps}"));
        tree.host().uses(&tree.host().devices()[0]).known
    }

    fn nvme() -> Tree {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        tree.block(&format!("{NVME}/nvme/nvme0/nvme0n1"), "259:0");
        tree.block(&format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3"), "259:3");
        tree.file(&format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3/partition"), "3\n");
        tree
    }

    fn dm(tree: &Tree, number: u32, name: &str, below: &str) {
        let dm = format!("dm-{number}");
        tree.block(&format!("sys/devices/virtual/block/{dm}"), &format!("253:{number}"));
        tree.file(&format!("sys/devices/virtual/block/{dm}/dm/name"), format!("{name}\n"));
        tree.link(&format!("{below}/holders/{dm}"), "x");
    }

    fn mount(block: &str, mount_point: &str) -> Use {
        Use::Mount { block: block.into(), mount_point: mount_point.into() }
    }

    #[test]
    fn finds_a_file_system_on_lvm_in_luks_on_a_partition() {
        let tree = nvme();
        dm(&tree, 0, "luks", &format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3"));
        dm(&tree, 1, "vg-srv", "sys/devices/virtual/block/dm-0");
        let info =
            "22 1 259:9 / / rw - ext4 /dev/sda1 rw\n30 22 253:1 / /srv/my\\040data rw - xfs /dev/dm-1 rw\n";
        assert_eq!(uses_with(&tree, info, ""), [mount("vg-srv", "/srv/my data")]);
    }

    #[test]
    fn finds_a_file_system_on_a_multipath_nvme() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        tree.class("block", &format!("{NVME}/nvme/nvme1/nvme0c1n1"));
        let head = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
        tree.block(head, "259:1");
        tree.block(&format!("{head}/nvme0n1p1"), "259:2");
        tree.file(&format!("{head}/nvme0n1p1/partition"), "1\n");
        let info = "30 22 259:2 / /data rw shared:1 - ext4 /dev/nvme0n1p1 rw\n";
        assert_eq!(uses_with(&tree, info, ""), [mount("nvme0n1p1", "/data")]);
    }

    #[test]
    fn finds_a_btrfs_by_its_source_and_by_its_other_devices() {
        let tree = nvme();
        let info = "30 22 0:40 /@ /home rw - btrfs /dev/nvme0n1p3 rw\n";
        assert_eq!(uses_with(&tree, info, ""), [mount("nvme0n1p3", "/home")]);

        let info = "30 22 0:40 / /home rw - btrfs /dev/sdb1 rw\n";
        assert_eq!(uses_with(&tree, info, ""), []);
        for device in ["nvme0n1p3", "sdb1"] {
            tree.link(&format!("sys/fs/btrfs/1234/devices/{device}"), "x");
        }
        assert_eq!(uses_with(&tree, info, ""), [mount("sdb1", "/home")]);
    }

    #[test]
    fn finds_swap_by_a_link_to_a_mapping() {
        let tree = nvme();
        dm(&tree, 2, "vg-swap", &format!("{NVME}/nvme/nvme0/nvme0n1"));
        let swap = [Use::Swap { block: "vg-swap".into() }];
        assert_eq!(uses_with(&tree, "", "/dev/mapper/vg-swap partition 1 0 -2\n"), swap);
        tree.file("dev/dm-2", "");
        tree.link("dev/vg/swap", "../dm-2");
        assert_eq!(uses_with(&tree, "", "/dev/vg/swap partition 1 0 -2\n"), swap);
        assert_eq!(uses_with(&tree, "", "/dev/vg/other partition 1 0 -2\n"), []);
    }

    #[test]
    fn names_bind_mounts_only_where_the_whole_is_not_mounted() {
        let bind = "31 22 259:3 /pods/1 /run/pod rw - ext4 /dev/nvme0n1p3 rw\n";
        assert_eq!(uses_with(&nvme(), bind, ""), [mount("nvme0n1p3", "/run/pod")]);
        let both = format!("{bind}30 22 259:3 / /srv rw - ext4 /dev/nvme0n1p3 rw\n");
        assert_eq!(uses_with(&nvme(), &both, ""), [mount("nvme0n1p3", "/srv")]);
    }

    #[test]
    fn a_disk_that_is_only_there_has_no_use() {
        assert_eq!(uses_with(&nvme(), "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", ""), []);
    }

    #[test]
    fn undoes_escapes_and_leaves_the_rest() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\04"), r"/a\04");
        assert_eq!(unescape("/ü"), "/ü");
    }
}
