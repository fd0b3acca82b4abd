//! Kernel targets, which export a disk to other machines: nvmet, LIO and USB gadgets, as configfs
//! lists them.
//!
//! Targets need no process, and most of them do not claim the disk exclusively.

use std::fs;
use std::path::Path;

use super::block_device;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::descendants::Descendants;
use crate::{Host, sysfs};

const EXPORTS: &str = "disks that a kernel target exports";

/// A kernel target and the device that it exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelTarget {
    pub(crate) name: String,
    pub(crate) number: DeviceNumber,
}

struct TargetScan<'a> {
    host: &'a Host,
    targets: Vec<KernelTarget>,
    blind_spots: &'a mut Vec<BlindSpot>,
}

/// Lists the kernel targets. A target whose device is unknown becomes a blind spot.
pub(super) fn targets(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<KernelTarget> {
    let mut scan = TargetScan {
        host,
        targets: Vec::new(),
        blind_spots,
    };
    let config = host.path("sys/kernel/config");
    for (module, folder) in [("nvmet", "nvmet"), ("target_core_mod", "target")] {
        let dir = config.join(folder);
        if host.path("sys/module").join(module).exists() && !dir.exists() {
            scan.add_blind_spot(dir.display(), "no configfs is mounted there");
        }
    }

    scan.add_nvmet(&config.join("nvmet/subsystems"));
    scan.add_lio(&config.join("target/core"));
    scan.add_gadgets(&config.join("usb_gadget"));
    scan.targets
}

impl TargetScan<'_> {
    fn add_blind_spot(&mut self, place: impl std::fmt::Display, reason: impl std::fmt::Display) {
        self.blind_spots
            .push(BlindSpot::new(EXPORTS, place, reason));
    }

    fn add_nvmet(&mut self, subsystems: &Path) {
        for nqn in sysfs::names(subsystems) {
            let namespaces = subsystems.join(&nqn).join("namespaces");
            for id in sysfs::names(&namespaces) {
                let name = format!("nvmet namespace {id} of {nqn}");
                self.add_nvmet_object(name, &namespaces.join(id));
            }
            let controller = subsystems.join(&nqn).join("passthru");
            self.add_nvmet_object(format!("nvmet passthru of {nqn}"), &controller);
        }
    }

    fn add_nvmet_object(&mut self, name: String, dir: &Path) {
        if sysfs::number(dir.join("enable")) == Some(1) {
            self.add_path(name, sysfs::read(dir.join("device_path")));
        }
    }

    fn add_lio(&mut self, core: &Path) {
        for hba in sysfs::names(core) {
            // The groups of ports stand beside the objects.
            if hba == "alua" {
                continue;
            }
            for object in sysfs::names(core.join(&hba)) {
                let dir = core.join(&hba).join(&object);
                // The attributes of the adapter stand beside its objects.
                if dir.is_dir() && sysfs::number(dir.join("enable")) != Some(0) {
                    self.add_lio_object(&hba, &object, &dir);
                }
            }
        }
    }

    fn add_lio_object(&mut self, hba: &str, object: &str, dir: &Path) {
        let name = format!("LIO {hba}/{object}");
        let info = sysfs::read(dir.join("info")).unwrap_or_default();
        if let Some(number) = iblock_number(&info).or_else(|| self.scsi_number(hba, &info)) {
            self.targets.push(KernelTarget { name, number });
            return;
        }

        let path = fileio_path(&info).or_else(|| sysfs::read(dir.join("udev_path")));
        if let Some(path) = path.filter(|path| path.starts_with('/')) {
            self.add_path(name, Some(path));
        } else if hba.starts_with("pscsi_") {
            self.add_blind_spot(name, "no node shows which SCSI device it is");
        } else if !hba.starts_with("rd_") && !hba.starts_with("user_") {
            // Objects of `rd_` are in memory; a program has the disk of a `user_` object open.
            self.add_blind_spot(name, "its `info` and `udev_path` show no disk or file");
        }
    }

    /// Returns the number of the SCSI device that a pscsi object passes commands to.
    fn scsi_number(&self, hba: &str, info: &str) -> Option<DeviceNumber> {
        let device = scsi_address(hba, info)?;
        let dir = fs::canonicalize(self.host.path("sys/bus/scsi/devices").join(device)).ok()?;
        let below = Descendants::of_device_dir(&dir);
        let mut blocks = below.blocks.iter();
        blocks
            .find_map(|block| block_device::number(self.host, block))
            .or_else(|| below.nodes.iter().find_map(|node| node.number))
    }

    fn add_gadgets(&mut self, gadgets: &Path) {
        for gadget in sysfs::names(gadgets) {
            let functions = gadgets.join(&gadget).join("functions");
            for function in sysfs::names(&functions) {
                for lun in sysfs::names(functions.join(&function)) {
                    let name = format!("USB gadget {gadget}, {function}/{lun}");
                    let file = functions.join(&function).join(lun).join("file");
                    self.add_path(name, sysfs::read(file));
                }
            }
        }
    }

    /// Adds a target by the path that it exports.
    ///
    /// A regular file adds nothing: the file is on a mounted file system, which is a usage itself.
    fn add_path(&mut self, name: String, path: Option<String>) {
        let Some(path) = path.filter(|path| path.starts_with('/')) else {
            return;
        };
        match self.host.number_at(&self.host.path(&path[1..])) {
            Ok(Some(number)) => self.targets.push(KernelTarget { name, number }),
            Ok(None) => {}
            Err(error) => self.add_blind_spot(format!("{path} of {name}"), error),
        }
    }
}

/// Reads `Major: 259 Minor: 0` of an iblock object's `info`.
fn iblock_number(info: &str) -> Option<DeviceNumber> {
    let mut words = info
        .split_whitespace()
        .skip_while(|word| *word != "Major:")
        .skip(1);
    let major = words.next()?.parse().ok()?;
    let minor = words.nth(1)?.parse().ok()?;
    (major != 0).then_some(DeviceNumber::Block(major, minor))
}

/// Reads the address of a pscsi object's SCSI device, as sysfs names the device: `3:0:1:2`.
///
/// The object's `info` has `Channel ID: 0 Target ID: 1 LUN: 2 Host ID: 3`. With
/// `Host ID: PHBA Mode`, the host is in the name of the object's folder.
fn scsi_address(hba: &str, info: &str) -> Option<String> {
    let channel = number_after(info, "Channel ID: ")?;
    let target = number_after(info, "Target ID: ")?;
    let lun = number_after(info, "LUN: ")?;
    let host =
        number_after(info, "Host ID: ").or_else(|| hba.strip_prefix("pscsi_")?.parse().ok())?;
    Some(format!("{host}:{channel}:{target}:{lun}"))
}

fn number_after(info: &str, name: &str) -> Option<u32> {
    let (_, rest) = info.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Reads `File: PATH  Size: …` of a fileio object's `info`.
fn fileio_path(info: &str) -> Option<String> {
    let (_, rest) = info.split_once(" File: ")?;
    Some(rest.split_once("  Size: ")?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const CONFIG: &str = "sys/kernel/config";

    fn found(tree: &Tree) -> (Vec<KernelTarget>, Vec<BlindSpot>) {
        let mut blind_spots = Vec::new();
        (targets(&tree.host(), &mut blind_spots), blind_spots)
    }

    fn names(tree: &Tree) -> Vec<String> {
        found(tree)
            .0
            .into_iter()
            .map(|target| format!("{}: {}", target.name, target.number))
            .collect()
    }

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file("dev/nvme0n1", "block 259:0\n");
        tree.file("dev/nvme0", "char 240:0\n");
        tree.file("srv/image", "");
        tree
    }

    #[test]
    fn nvmet_namespaces_and_controllers_are_found() {
        let tree = tree();
        let subsystem = format!("{CONFIG}/nvmet/subsystems/nqn.x");
        let objects = [
            ("namespaces/1", "/dev/nvme0n1", "1"),
            ("namespaces/2", "/dev/nvme0n1", "0"),
        ];
        let others = [
            ("namespaces/3", "/srv/image", "1"),
            ("passthru", "/dev/nvme0", "1"),
        ];
        for (object, path, enable) in objects.into_iter().chain(others) {
            tree.file(
                &format!("{subsystem}/{object}/device_path"),
                format!("{path}\n"),
            );
            tree.file(
                &format!("{subsystem}/{object}/enable"),
                format!("{enable}\n"),
            );
        }

        let expected = [
            "nvmet namespace 1 of nqn.x: block 259:0",
            "nvmet passthru of nqn.x: char 240:0",
        ];

        assert_eq!(names(&tree), expected);
    }

    #[test]
    fn disks_that_lio_and_gadgets_export_are_found() {
        let tree = tree();
        let core = format!("{CONFIG}/target/core");
        let iblock = "Status: ACTIVATED\n\
                      \x20       iBlock device: sda  UDEV PATH: /dev/sda  readonly: 0\n\
                      \x20       Major: 8 Minor: 0  CLAIMED: IBLOCK\n";
        tree.file(&format!("{core}/iblock_0/disk/info"), iblock);
        tree.file(
            &format!("{core}/fileio_0/disk/info"),
            fileio("/dev/nvme0n1"),
        );
        tree.file(&format!("{core}/fileio_0/image/info"), fileio("/srv/image"));
        tree.file(&format!("{core}/pscsi_0/disk/udev_path"), "/dev/nvme0n1\n");
        let lun = "usb_gadget/g1/functions/mass_storage.0/lun.0/file";
        tree.file(&format!("{CONFIG}/{lun}"), "/dev/nvme0n1\n");
        let expected = [
            "LIO fileio_0/disk: block 259:0",
            "LIO iblock_0/disk: block 8:0",
            "LIO pscsi_0/disk: block 259:0",
            "USB gadget g1, mass_storage.0/lun.0: block 259:0",
        ];

        assert_eq!(names(&tree), expected);
    }

    fn fileio(path: &str) -> String {
        format!("TCM FILEIO ID: 0        File: {path}  Size: 67108864  Mode: O_DSYNC Async: 0\n")
    }

    /// Adds a pscsi object and its SCSI device.
    fn pscsi(tree: &Tree, hba: &str, host: &str) -> String {
        let dir = "sys/devices/pci/0000:04:00.0/host3/target3:0:1/3:0:1:2";
        tree.class("scsi_generic", &format!("{dir}/scsi_generic/sg4"));
        tree.file(&format!("{dir}/scsi_generic/sg4/uevent"), "DEVNAME=sg4\n");
        tree.file(&format!("{dir}/scsi_generic/sg4/dev"), "21:4\n");
        tree.link(
            "sys/bus/scsi/devices/3:0:1:2",
            "../../../devices/pci/0000:04:00.0/host3/target3:0:1/3:0:1:2",
        );
        let place = format!("Channel ID: 0 KernelTarget ID: 1 LUN: 2 Host ID: {host}\n");
        let info = format!(
            "Status: ACTIVATED\n        SCSI Device Bus Location: {place}        Vendor: X\n"
        );
        tree.file(&format!("{CONFIG}/target/core/{hba}/x/info"), info);
        tree.file(&format!("{CONFIG}/target/core/{hba}/x/udev_path"), "\n");
        dir.into()
    }

    #[test]
    fn scsi_device_without_a_path_is_found_by_its_address() {
        for (hba, host) in [("pscsi_0", "3"), ("pscsi_3", "PHBA Mode")] {
            let tree = tree();
            let dir = pscsi(&tree, hba, host);
            assert_eq!(names(&tree), [format!("LIO {hba}/x: char 21:4")]);
            tree.block(&format!("{dir}/block/sdb"), "8:16");
            assert_eq!(names(&tree), [format!("LIO {hba}/x: block 8:16")]);
            assert_eq!(found(&tree).1, []);
        }
    }

    #[test]
    fn scsi_device_without_a_node_is_a_blind_spot() {
        let tree = tree();
        pscsi(&tree, "pscsi_7", "PHBA Mode");
        let (targets, blind_spots) = found(&tree);
        assert_eq!(targets, []);
        assert_eq!(blind_spots[0].place, "LIO pscsi_7/x");
    }

    #[test]
    fn object_without_a_known_disk_is_a_blind_spot() {
        let tree = tree();
        let core = format!("{CONFIG}/target/core");
        for hba in ["fileio_0", "iblock_0", "new_0", "rd_mcp_1", "user_2"] {
            tree.file(&format!("{core}/{hba}/hba_info"), "HBA Index: 1\n");
            tree.file(&format!("{core}/{hba}/x/info"), "Status: ACTIVATED\n");
            tree.file(&format!("{core}/{hba}/x/udev_path"), "\n");
            tree.file(&format!("{core}/{hba}/x/enable"), "1\n");
            tree.file(&format!("{core}/{hba}/off/enable"), "0\n");
        }

        tree.dir(&format!("{core}/iblock_1/bare"));
        tree.dir(&format!("{core}/alua/lu_gps/default_lu_gp"));
        let (targets, blind_spots) = found(&tree);

        assert_eq!(targets, []);

        let places: Vec<String> = blind_spots.into_iter().map(|spot| spot.place).collect();
        let objects = ["fileio_0/x", "iblock_0/x", "iblock_1/bare", "new_0/x"];
        assert_eq!(places, objects.map(|object| format!("LIO {object}")));
    }

    #[test]
    fn target_that_cannot_be_read_is_a_blind_spot() {
        let tree = tree();
        tree.dir("sys/module/nvmet");
        let object = format!("{CONFIG}/target/core/pscsi_0/disk");
        tree.file(&format!("{object}/udev_path"), "/dev/gone\n");
        let places: Vec<String> = found(&tree).1.into_iter().map(|spot| spot.place).collect();

        assert!(places[0].ends_with("sys/kernel/config/nvmet"), "{places:?}");
        assert_eq!(places[1], "/dev/gone of LIO pscsi_0/disk");
    }
}
