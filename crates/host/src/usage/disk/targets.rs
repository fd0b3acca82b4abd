//! Kernel targets that export a disk to other machines: nvmet, LIO and USB gadgets, as configfs has
//! them. They need no process, and most do not claim the disk.

use std::fs;
use std::path::Path;

use super::stack;
use crate::device::DeviceNumber;
use crate::usage::descendants::Descendants;
use crate::usage::report::BlindSpot;
use crate::{Host, sysfs};

const EXPORTS: &str = "disks that a kernel target exports";

/// A target and the device that it exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) number: DeviceNumber,
}

struct TargetScan<'a> {
    host: &'a Host,
    found: Vec<Target>,
    blind_spots: &'a mut Vec<BlindSpot>,
}

pub(crate) fn targets(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<Target> {
    let mut search = TargetScan {
        host,
        found: Vec::new(),
        blind_spots,
    };
    let config = host.path("sys/kernel/config");
    for (module, folder) in [("nvmet", "nvmet"), ("target_core_mod", "target")] {
        let dir = config.join(folder);
        if host.path("sys/module").join(module).exists() && !dir.exists() {
            search.blind_spots.push(BlindSpot::new(
                EXPORTS,
                dir.display(),
                "no configfs is mounted there",
            ));
        }
    }
    search.nvmet(&config.join("nvmet/subsystems"));
    search.lio(&config.join("target/core"));
    search.gadgets(&config.join("usb_gadget"));
    search.found
}

impl TargetScan<'_> {
    fn nvmet(&mut self, subsystems: &Path) {
        for nqn in sysfs::names(subsystems) {
            let namespaces = subsystems.join(&nqn).join("namespaces");
            for id in sysfs::names(&namespaces) {
                let name = format!("nvmet namespace {id} of {nqn}");
                self.nvmet_path(name, &namespaces.join(id));
            }
            let passthru = subsystems.join(&nqn).join("passthru");
            self.nvmet_path(format!("nvmet passthru of {nqn}"), &passthru);
        }
    }

    fn nvmet_path(&mut self, name: String, dir: &Path) {
        if sysfs::number(dir.join("enable")) == Some(1) {
            self.path(name, sysfs::read(dir.join("device_path")));
        }
    }

    fn lio(&mut self, core: &Path) {
        for hba in sysfs::names(core) {
            for object in sysfs::names(core.join(&hba)) {
                let dir = core.join(&hba).join(&object);
                let name = format!("LIO {hba}/{object}");
                let info = sysfs::read(dir.join("info")).unwrap_or_default();
                // Attributes and groups of ports stand beside the objects.
                if hba == "alua" || !dir.is_dir() || sysfs::number(dir.join("enable")) == Some(0) {
                    continue;
                }
                let number = iblock_number(&info).or_else(|| self.scsi_number(&hba, &info));
                let path = || fileio_path(&info).or_else(|| sysfs::read(dir.join("udev_path")));
                match (number, path().filter(|path| path.starts_with('/'))) {
                    (Some(number), _) => self.found.push(Target { name, number }),
                    (None, Some(path)) => self.path(name, Some(path)),
                    // Objects in memory, or of a program that has the disk open by itself.
                    (None, None) if hba.starts_with("rd_") || hba.starts_with("user_") => {}
                    (None, None) if hba.starts_with("pscsi_") => {
                        let reason = "no node shows which SCSI device it is";
                        self.blind_spots.push(BlindSpot::new(EXPORTS, name, reason));
                    }
                    (None, None) => {
                        let reason = "its `info` and `udev_path` show no disk or file";
                        self.blind_spots.push(BlindSpot::new(EXPORTS, name, reason));
                    }
                }
            }
        }
    }

    /// Returns the number of the SCSI device that a pscsi object passes commands to.
    fn scsi_number(&self, hba: &str, info: &str) -> Option<DeviceNumber> {
        let device = scsi_address(hba, info)?;
        let dir = fs::canonicalize(self.host.path("sys/bus/scsi/devices").join(device)).ok()?;
        let below = Descendants::of_device_dir(&dir);
        let block = below
            .blocks
            .iter()
            .find_map(|block| stack::number(self.host, block));
        block.or_else(|| below.nodes.iter().find_map(|node| node.number))
    }

    fn gadgets(&mut self, gadgets: &Path) {
        for gadget in sysfs::names(gadgets) {
            let functions = gadgets.join(&gadget).join("functions");
            for function in sysfs::names(&functions) {
                for lun in sysfs::names(functions.join(&function)) {
                    let name = format!("USB gadget {gadget}, {function}/{lun}");
                    self.path(
                        name,
                        sysfs::read(functions.join(&function).join(lun).join("file")),
                    );
                }
            }
        }
    }

    /// A file that is not a device is on a mounted file system, which counts by itself.
    fn path(&mut self, name: String, path: Option<String>) {
        let Some(path) = path.filter(|path| path.starts_with('/')) else {
            return;
        };
        match self.host.number_at(&self.host.path(&path[1..])) {
            Ok(Some(number)) => self.found.push(Target { name, number }),
            Ok(None) => {}
            Err(error) => {
                self.blind_spots
                    .push(BlindSpot::new(EXPORTS, format!("{path} of {name}"), error));
            }
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

/// Reads `Channel ID: 0 Target ID: 1 LUN: 2 Host ID: 3` of a pscsi object's `info`, as sysfs names
/// the SCSI device: `3:0:1:2`. With `Host ID: PHBA Mode`, the host is that of the object's folder.
fn scsi_address(hba: &str, info: &str) -> Option<String> {
    let number = |name: &str| {
        let (_, rest) = info.split_once(name)?;
        rest.split_whitespace().next()?.parse::<u32>().ok()
    };
    let channel = number("Channel ID: ")?;
    let target = number("Target ID: ")?;
    let lun = number("LUN: ")?;
    let host = number("Host ID: ").or_else(|| hba.strip_prefix("pscsi_")?.parse().ok())?;
    Some(format!("{host}:{channel}:{target}:{lun}"))
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

    fn found(tree: &Tree) -> (Vec<Target>, Vec<BlindSpot>) {
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
    fn finds_namespaces_and_controllers_that_nvmet_exports() {
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
    fn finds_disks_that_lio_and_gadgets_export() {
        let tree = tree();
        let core = format!("{CONFIG}/target/core");
        let iblock = "Status: ACTIVATED\n        iBlock device: sda  UDEV PATH: /dev/sda  readonly: 0\n\
                      \x20       Major: 8 Minor: 0  CLAIMED: IBLOCK\n";
        let fileio = |path: &str| {
            format!(
                "TCM FILEIO ID: 0        File: {path}  Size: 67108864  Mode: O_DSYNC Async: 0\n"
            )
        };
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

    /// Adds a pscsi object and the SCSI device that it is over.
    fn pscsi(tree: &Tree, hba: &str, host: &str) -> String {
        let dir = "sys/devices/pci/0000:04:00.0/host3/target3:0:1/3:0:1:2";
        tree.class("scsi_generic", &format!("{dir}/scsi_generic/sg4"));
        tree.file(&format!("{dir}/scsi_generic/sg4/uevent"), "DEVNAME=sg4\n");
        tree.file(&format!("{dir}/scsi_generic/sg4/dev"), "21:4\n");
        tree.link(
            "sys/bus/scsi/devices/3:0:1:2",
            "../../../devices/pci/0000:04:00.0/host3/target3:0:1/3:0:1:2",
        );
        let place = format!("Channel ID: 0 Target ID: 1 LUN: 2 Host ID: {host}\n");
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
    fn scsi_device_that_nothing_shows_is_unseen() {
        let tree = tree();
        pscsi(&tree, "pscsi_7", "PHBA Mode");
        let (targets, blind_spots) = found(&tree);
        assert_eq!(targets, []);
        assert_eq!(blind_spots[0].place, "LIO pscsi_7/x");
    }

    #[test]
    fn object_without_a_known_disk_is_unseen() {
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
    fn targets_that_cannot_be_looked_at_are_unseen() {
        let tree = tree();
        tree.dir("sys/module/nvmet");
        let object = format!("{CONFIG}/target/core/pscsi_0/disk");
        tree.file(&format!("{object}/udev_path"), "/dev/gone\n");
        let places: Vec<String> = found(&tree).1.into_iter().map(|spot| spot.place).collect();
        assert!(places[0].ends_with("sys/kernel/config/nvmet"), "{places:?}");
        assert_eq!(places[1], "/dev/gone of LIO pscsi_0/disk");
    }
}
