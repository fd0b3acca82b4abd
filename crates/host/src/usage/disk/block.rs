//! Usages of block devices: file systems, swap, loop devices and exclusive claims, also of the
//! block devices that are made of others.

use std::collections::BTreeSet;

use super::block_device::{self, dir, holders, partitions};
use super::exclusive::{self, CLAIMS, ExclusiveOpen, open_exclusively};
use super::mounts::{Mount, without_binds};
use super::stack::BlockStack;
use super::survey::DiskSurvey;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::report::UsageReport;
use crate::usage::usage::Usage;
use crate::{Host, sysfs};

/// Reports the usages of a stack. Exclusive claims count only if there is no other usage.
pub(crate) fn block_usages(survey: &DiskSurvey, stack: &BlockStack) -> UsageReport {
    if stack.is_empty() {
        return UsageReport::default();
    }
    let mut usages = BTreeSet::new();
    for (block, number) in &with_btrfs_siblings(&survey.host, stack) {
        usages.extend(mounts(survey, block, *number));
        if is_swap(survey, block, *number) {
            let block = label(&survey.host, block);
            usages.insert(Usage::Swap { block });
        }
    }

    for device in &survey.loops {
        if stack.values().any(|number| device.is_over(*number)) {
            usages.insert(Usage::Loop {
                block: device.name.clone(),
                file: device.file.clone(),
            });
        }
    }

    let mut report = UsageReport::default();
    if usages.is_empty() {
        report = exclusive_claims(survey, stack);
    }
    report.usages.extend(usages);
    report
        .blind_spots
        .extend(survey.blind_spots.iter().cloned());
    report
}

/// Returns the mounts of a block device: in this mount namespace, else in the first one that has
/// any.
fn mounts(survey: &DiskSurvey, block: &str, number: Option<DeviceNumber>) -> Vec<Usage> {
    let host = &survey.host;
    for namespace in &survey.namespaces {
        let on_block = namespace
            .mounts
            .iter()
            .filter(|mount| is_mount_of(host, mount, block, number));
        let mounts = without_binds(on_block.collect());
        if !mounts.is_empty() {
            let block = label(host, block);
            let process = namespace.process.as_ref();
            return mounts
                .into_iter()
                .map(|mount| Usage::mount(block.clone(), mount.mount_point.clone(), process))
                .collect();
        }
    }

    Vec::new()
}

fn is_mount_of(host: &Host, mount: &Mount, block: &str, number: Option<DeviceNumber>) -> bool {
    if number.is_some() && number == mount.number {
        return true;
    }
    let mut sources = mount.source.split(':');
    sources.any(|source| names_block(host, source, block, number))
}

fn is_swap(survey: &DiskSurvey, block: &str, number: Option<DeviceNumber>) -> bool {
    let mut swaps = survey.swaps.iter();
    swaps.any(|swap| names_block(&survey.host, swap, block, number))
}

/// Reports the exclusive claims of a stack.
///
/// If the survey may open disks, the whole disks are opened exclusively: the kernel then also
/// reports exclusive claims of their partitions. Otherwise only the claims in sysfs are reported.
fn exclusive_claims(survey: &DiskSurvey, stack: &BlockStack) -> UsageReport {
    let host = &survey.host;
    let mut report = UsageReport::default();
    if !survey.opens_disks {
        report.usages = claims_in_sysfs(host, stack);
        return report;
    }

    for (block, number) in exclusive::whole_disks(host, stack) {
        if survey.held.contains(&number) {
            continue;
        }
        match open_exclusively(host, block, number) {
            // A disk that is not held could be mounted before its driver releases it.
            Ok(ExclusiveOpen::Free(_)) if survey.is_claimed => {
                let reason = "another program had it until now: try again";
                let node = block_device::node(host, block);
                report
                    .blind_spots
                    .push(BlindSpot::new(CLAIMS, node, reason));
            }
            Ok(ExclusiveOpen::Free(_) | ExclusiveOpen::NoMedium) => {}
            Ok(ExclusiveOpen::Busy) => report.usages.extend(busy_parts(host, stack, block)),
            Err(blind_spot) => report.blind_spots.push(blind_spot),
        }
    }

    report
}

/// Returns the claims of a stack that sysfs shows: the block devices that others are made of.
fn claims_in_sysfs(host: &Host, stack: &BlockStack) -> Vec<Usage> {
    stack
        .keys()
        .filter(|block| !holders(host, block).is_empty())
        .map(|block| exclusive_usage(host, block))
        .collect()
}

fn exclusive_usage(host: &Host, block: &str) -> Usage {
    let holders = holders(host, block);
    Usage::Exclusive {
        block: label(host, block),
        holders: holders.iter().map(|holder| label(host, holder)).collect(),
    }
}

/// Returns the partitions of a busy disk that are busy themselves; the disk if there is none.
fn busy_parts(host: &Host, stack: &BlockStack, disk: &str) -> Vec<Usage> {
    let mut parts = partitions(host, disk);
    parts.retain(|part| {
        let number = stack.get(part).copied().flatten();
        number.is_some_and(|number| is_busy(host, part, number))
    });
    if parts.is_empty() {
        parts.push(disk.to_owned());
    }
    parts
        .iter()
        .map(|part| exclusive_usage(host, part))
        .collect()
}

fn is_busy(host: &Host, block: &str, number: DeviceNumber) -> bool {
    matches!(
        open_exclusively(host, block, number),
        Ok(ExclusiveOpen::Busy)
    )
}

/// Adds the other devices of each btrfs: a btrfs over several devices is mounted from one of them.
fn with_btrfs_siblings(host: &Host, stack: &BlockStack) -> BlockStack {
    let btrfs = host.path("sys/fs/btrfs");
    let mut all = stack.clone();
    for id in sysfs::names(&btrfs) {
        let devices = sysfs::names(btrfs.join(id).join("devices"));
        if !devices.iter().any(|device| stack.contains_key(device)) {
            continue;
        }
        for device in devices {
            let number = block_device::number(host, &device);
            all.insert(device, number);
        }
    }

    all
}

/// Returns whether a path that the kernel reported leads to a block device.
///
/// The comparison is by the number of the node at the path, by the device's name, or by the name of
/// its device mapping.
fn names_block(host: &Host, path: &str, block: &str, number: Option<DeviceNumber>) -> bool {
    let Some(below_dev) = path.strip_prefix("/dev/") else {
        return false;
    };
    let node = host.path("dev").join(below_dev);
    let at_path = host.number_at(&node).ok().flatten();
    (at_path.is_some() && at_path == number)
        || below_dev == block
        || mapping(host, block).is_some_and(|name| below_dev == format!("mapper/{name}"))
}

/// Returns the name of a block device for messages: that of its device mapping, if there is one.
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

    fn usages_with(tree: &Tree, mountinfo: &str, swaps: &str) -> Vec<Usage> {
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
    fn file_system_on_lvm_in_luks_on_a_partition_is_found() {
        let tree = nvme();
        dm(
            &tree,
            0,
            "luks",
            &format!("{NVME}/nvme/nvme0/nvme0n1/nvme0n1p3"),
        );
        dm(&tree, 1, "vg-srv", "sys/devices/virtual/block/dm-0");
        let info = "22 1 259:9 / / rw - ext4 /dev/sda1 rw\n\
                    30 22 253:1 / /srv/my\\040data rw - xfs /dev/dm-1 rw\n";

        assert_eq!(
            usages_with(&tree, info, ""),
            [mount("vg-srv", "/srv/my data")]
        );
    }

    #[test]
    fn file_system_on_a_multipath_nvme_is_found() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        tree.class("block", &format!("{NVME}/nvme/nvme1/nvme0c1n1"));
        let head = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
        tree.block(head, "259:1");
        tree.block(&format!("{head}/nvme0n1p1"), "259:2");
        tree.file(&format!("{head}/nvme0n1p1/partition"), "1\n");
        let info = "30 22 259:2 / /data rw shared:1 - ext4 /dev/nvme0n1p1 rw\n";

        assert_eq!(usages_with(&tree, info, ""), [mount("nvme0n1p1", "/data")]);
    }

    #[test]
    fn btrfs_is_found_by_its_source_and_its_other_devices() {
        let tree = nvme();
        let info = "30 22 0:40 /@ /home rw - btrfs /dev/nvme0n1p3 rw\n";
        assert_eq!(usages_with(&tree, info, ""), [mount("nvme0n1p3", "/home")]);

        let info = "30 22 0:40 / /home rw - btrfs /dev/sdb1 rw\n";
        assert_eq!(usages_with(&tree, info, ""), []);
        for device in ["nvme0n1p3", "sdb1"] {
            tree.link(&format!("sys/fs/btrfs/1234/devices/{device}"), "x");
        }
        assert_eq!(usages_with(&tree, info, ""), [mount("sdb1", "/home")]);
    }

    #[test]
    fn swap_is_found_by_a_link_to_a_mapping() {
        let tree = nvme();
        dm(&tree, 2, "vg-swap", &format!("{NVME}/nvme/nvme0/nvme0n1"));
        let swap = [Usage::Swap {
            block: "vg-swap".into(),
        }];
        assert_eq!(
            usages_with(&tree, "", "/dev/mapper/vg-swap partition 1 0 -2\n"),
            swap
        );

        tree.file("dev/dm-2", "block 253:2\n");
        tree.link("dev/vg/swap", "../dm-2");
        assert_eq!(
            usages_with(&tree, "", "/dev/vg/swap partition 1 0 -2\n"),
            swap
        );

        let mapped = [Usage::Exclusive {
            block: "nvme0n1".into(),
            holders: vec!["vg-swap".into()],
        }];
        assert_eq!(
            usages_with(&tree, "", "/dev/vg/other partition 1 0 -2\n"),
            mapped
        );
    }

    #[test]
    fn bind_mount_is_named_only_without_a_mount_of_the_whole() {
        let bind = "31 22 259:3 /pods/1 /run/pod rw - ext4 /dev/nvme0n1p3 rw\n";
        assert_eq!(
            usages_with(&nvme(), bind, ""),
            [mount("nvme0n1p3", "/run/pod")]
        );

        let both = format!("{bind}30 22 259:3 / /srv rw - ext4 /dev/nvme0n1p3 rw\n");
        assert_eq!(
            usages_with(&nvme(), &both, ""),
            [mount("nvme0n1p3", "/srv")]
        );
    }

    #[test]
    fn disk_without_any_usage_is_free() {
        assert_eq!(
            usages_with(&nvme(), "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", ""),
            []
        );
    }
}
