//! UsageReport of block devices: file systems, swap, loop devices, exclusive claims; also through all that
//! is made of them.

use std::collections::BTreeSet;

use super::exclusive::{self, CLAIMS, ExclusiveOpen, open_exclusively};
use super::mounts::{Mount, MountNamespace, without_binds};
use super::stack::{self, BlockStack, dir, holders, partitions};
use crate::device::DeviceNumber;
use crate::usage::report::{BlindSpot, UsageReport};
use crate::usage::survey::{HostSurvey, Usage};
use crate::{Host, sysfs};

/// Returns the uses of a stack, and what of it could not be looked at.
pub(crate) fn usages(survey: &HostSurvey, stack: &BlockStack) -> UsageReport {
    if stack.is_empty() {
        return UsageReport::default();
    }
    let host = &survey.host;
    let mut usages = BTreeSet::new();
    for (block, number) in &with_btrfs_siblings(host, stack) {
        usages.extend(mounts(survey, block, *number));
        if survey
            .swaps
            .iter()
            .any(|swap| names_block(host, swap, block, *number))
        {
            usages.insert(Usage::Swap {
                block: label(host, block),
            });
        }
    }
    for up in survey
        .loops
        .iter()
        .filter(|up| stack.values().any(|number| up.is_over(*number)))
    {
        usages.insert(Usage::Loop {
            block: up.name.clone(),
            file: up.file.clone(),
        });
    }
    let mut found = UsageReport::default();
    if usages.is_empty() {
        found = claims(survey, stack);
    }
    found.usages.extend(usages);
    found.blind_spots.extend(survey.blind_spots.iter().cloned());
    found
}

/// Returns where a block device is mounted: in this mount namespace, else in the first that has it.
fn mounts(survey: &HostSurvey, block: &str, number: Option<DeviceNumber>) -> Vec<Usage> {
    let host = &survey.host;
    let is_on = |mount: &&Mount| {
        (number.is_some() && number == mount.number)
            || mount
                .source
                .split(':')
                .any(|source| names_block(host, source, block, number))
    };
    for MountNamespace { process, mounts } in &survey.namespaces {
        let mounts = without_binds(mounts.iter().filter(is_on).collect());
        if !mounts.is_empty() {
            let block = label(host, block);
            let points = mounts.into_iter().map(|mount| mount.mount_point.clone());
            return points
                .map(|point| Usage::mount(block.clone(), point, process.as_ref()))
                .collect();
        }
    }
    Vec::new()
}

/// Asks the kernel for the whole disks exclusively, which says of their partitions too whether
/// another has them so. Where that is not wanted, returns what sysfs shows.
fn claims(survey: &HostSurvey, stack: &BlockStack) -> UsageReport {
    let host = &survey.host;
    let mut found = UsageReport::default();
    if !survey.opens_disks {
        found.usages = parts_of_others(host, stack);
        return found;
    }
    for (block, number) in exclusive::whole(host, stack) {
        if survey.held.contains(&number) {
            continue;
        }
        match open_exclusively(host, block, number) {
            // A disk that is not held could be mounted before its driver lets it go.
            Ok(ExclusiveOpen::Free(_)) if !survey.claimed.is_empty() => {
                let reason = "another program had it until now: try again";
                found
                    .blind_spots
                    .push(BlindSpot::new(CLAIMS, stack::node(host, block), reason));
            }
            Ok(ExclusiveOpen::Free(_) | ExclusiveOpen::Empty) => {}
            Ok(ExclusiveOpen::Busy) => found.usages.extend(claim(host, stack, block)),
            Err(blind_spots) => found.blind_spots.push(blind_spots),
        }
    }
    found
}

/// Returns the claims of a stack that sysfs shows: the block devices that others are made of.
fn parts_of_others(host: &Host, stack: &BlockStack) -> Vec<Usage> {
    let parts = stack
        .keys()
        .filter(|block| !holders(host, block).is_empty());
    parts.map(|block| exclusive(host, block)).collect()
}

fn exclusive(host: &Host, block: &str) -> Usage {
    let holders = holders(host, block)
        .iter()
        .map(|holder| label(host, holder))
        .collect();
    Usage::Exclusive {
        block: label(host, block),
        holders,
    }
}

/// Names what is claimed of a disk: the parts that something is made of, else the disk.
fn claim(host: &Host, stack: &BlockStack, disk: &str) -> Vec<Usage> {
    let parts = partitions(host, disk).into_iter().filter(|part| {
        let number = stack.get(part).copied().flatten();
        number.is_some_and(|number| {
            matches!(
                open_exclusively(host, part, number),
                Ok(ExclusiveOpen::Busy)
            )
        })
    });
    let parts: Vec<Usage> = parts.map(|part| exclusive(host, &part)).collect();
    if parts.is_empty() {
        vec![exclusive(host, disk)]
    } else {
        parts
    }
}

/// A btrfs over several devices is mounted from one of them.
fn with_btrfs_siblings(host: &Host, stack: &BlockStack) -> BlockStack {
    let btrfs = host.path("sys/fs/btrfs");
    let mut all = stack.clone();
    for id in sysfs::names(&btrfs) {
        let devices = sysfs::names(btrfs.join(id).join("devices"));
        if devices.iter().any(|device| stack.contains_key(device)) {
            all.extend(
                devices
                    .into_iter()
                    .map(|device| (device.clone(), stack::number(host, &device))),
            );
        }
    }
    all
}

/// Says whether a path that the kernel reported is a block device: by the number of its node, else
/// by name, also as a mapping.
fn names_block(host: &Host, path: &str, block: &str, number: Option<DeviceNumber>) -> bool {
    let Some(below_dev) = path.strip_prefix("/dev/") else {
        return false;
    };
    let there = host
        .number_at(&host.path("dev").join(below_dev))
        .ok()
        .flatten();
    (there.is_some() && there == number)
        || below_dev == block
        || mapping(host, block).is_some_and(|name| below_dev == format!("mapper/{name}"))
}

/// Returns the name under which people see a block device.
fn label(host: &Host, block: &str) -> String {
    mapping(host, block).unwrap_or_else(|| block.into())
}

fn mapping(host: &Host, block: &str) -> Option<String> {
    sysfs::read(dir(host, block).join("dm/name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const NVME: &str = "sys/devices/pci/0000:01:00.0";

    fn uses_with(tree: &Tree, mountinfo: &str, swaps: &str) -> Vec<Usage> {
        tree.file("proc/self/mountinfo", mountinfo);
        tree.file(
            "proc/swaps",
            format!("Filename\tType\tSize\tUsed\tPriority\n{swaps}"),
        );
        tree.host().usage_report(&tree.host().devices()[0]).usages
    }

    fn nvme() -> Tree {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        tree.block(&format!("{NVME}/nvme/nvme0/nvme0n1"), "259:0");
        tree.block(&format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3"), "259:3");
        tree.file(
            &format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3/partition"),
            "3\n",
        );
        tree
    }

    fn dm(tree: &Tree, number: u32, name: &str, below: &str) {
        let dm = format!("dm-{number}");
        tree.block(
            &format!("sys/devices/virtual/block/{dm}"),
            &format!("253:{number}"),
        );
        tree.file(
            &format!("sys/devices/virtual/block/{dm}/dm/name"),
            format!("{name}\n"),
        );
        tree.link(&format!("{below}/holders/{dm}"), "x");
    }

    fn mount(block: &str, mount_point: &str) -> Usage {
        Usage::Mount {
            block: block.into(),
            mount_point: mount_point.into(),
        }
    }

    #[test]
    fn finds_a_file_system_on_lvm_in_luks_on_a_partition() {
        let tree = nvme();
        dm(
            &tree,
            0,
            "luks",
            &format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3"),
        );
        dm(&tree, 1, "vg-srv", "sys/devices/virtual/block/dm-0");
        let info = "22 1 259:9 / / rw - ext4 /dev/sda1 rw\n30 22 253:1 / /srv/my\\040data rw - xfs /dev/dm-1 rw\n";
        assert_eq!(
            uses_with(&tree, info, ""),
            [mount("vg-srv", "/srv/my data")]
        );
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
        let swap = [Usage::Swap {
            block: "vg-swap".into(),
        }];
        assert_eq!(
            uses_with(&tree, "", "/dev/mapper/vg-swap partition 1 0 -2\n"),
            swap
        );
        tree.file("dev/dm-2", "block 253:2\n");
        tree.link("dev/vg/swap", "../dm-2");
        assert_eq!(
            uses_with(&tree, "", "/dev/vg/swap partition 1 0 -2\n"),
            swap
        );
        let mapped = [Usage::Exclusive {
            block: "nvme0n1".into(),
            holders: vec!["vg-swap".into()],
        }];
        assert_eq!(
            uses_with(&tree, "", "/dev/vg/other partition 1 0 -2\n"),
            mapped
        );
    }

    #[test]
    fn names_bind_mounts_only_where_the_whole_is_not_mounted() {
        let bind = "31 22 259:3 /pods/1 /run/pod rw - ext4 /dev/nvme0n1p3 rw\n";
        assert_eq!(
            uses_with(&nvme(), bind, ""),
            [mount("nvme0n1p3", "/run/pod")]
        );
        let both = format!("{bind}30 22 259:3 / /srv rw - ext4 /dev/nvme0n1p3 rw\n");
        assert_eq!(uses_with(&nvme(), &both, ""), [mount("nvme0n1p3", "/srv")]);
    }

    #[test]
    fn a_disk_that_is_only_there_has_no_use() {
        assert_eq!(
            uses_with(&nvme(), "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", ""),
            []
        );
    }
}
