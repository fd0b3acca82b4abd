//! Kernel targets that export a disk to other machines: nvmet, LIO and USB gadgets, as configfs has
//! them. They need no process, and most do not claim the disk.

use std::path::Path;

use super::Unseen;
use crate::node::Number;
use crate::{Host, sysfs};

const EXPORTS: &str = "disks that a kernel target exports";

/// A target and the device that it exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) number: Number,
}

struct Search<'a> {
    host: &'a Host,
    found: Vec<Target>,
    unseen: &'a mut Vec<Unseen>,
}

pub(crate) fn targets(host: &Host, unseen: &mut Vec<Unseen>) -> Vec<Target> {
    let mut search = Search { host, found: Vec::new(), unseen };
    let config = host.path("sys/kernel/config");
    for (module, folder) in [("nvmet", "nvmet"), ("target_core_mod", "target")] {
        let dir = config.join(folder);
        if host.path("sys/module").join(module).exists() && !dir.exists() {
            search.unseen.push(Unseen::new(EXPORTS, dir.display(), "no configfs is mounted there"));
        }
    }
    search.nvmet(&config.join("nvmet/subsystems"));
    search.lio(&config.join("target/core"));
    search.gadgets(&config.join("usb_gadget"));
    search.found
}

impl Search<'_> {
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
                if sysfs::number(dir.join("enable")) == Some(0) {
                    continue;
                }
                match (iblock_number(&info), fileio_path(&info)) {
                    (Some(number), _) => self.found.push(Target { name, number }),
                    (None, Some(path)) => self.path(name, Some(path)),
                    (None, None) => self.path(name, sysfs::read(dir.join("udev_path"))),
                }
            }
        }
    }

    fn gadgets(&mut self, gadgets: &Path) {
        for gadget in sysfs::names(gadgets) {
            let functions = gadgets.join(&gadget).join("functions");
            for function in sysfs::names(&functions) {
                for lun in sysfs::names(functions.join(&function)) {
                    let name = format!("USB gadget {gadget}, {function}/{lun}");
                    self.path(name, sysfs::read(functions.join(&function).join(lun).join("file")));
                }
            }
        }
    }

    /// A file that is not a device is on a mounted file system, which counts by itself.
    fn path(&mut self, name: String, path: Option<String>) {
        let Some(path) = path.filter(|path| path.starts_with('/')) else { return };
        match self.host.number_at(&self.host.path(&path[1..])) {
            Ok(Some(number)) => self.found.push(Target { name, number }),
            Ok(None) => {}
            Err(error) => {
                self.unseen.push(Unseen::new(EXPORTS, format!("{path} of {name}"), error));
            }
        }
    }
}

/// Reads `Major: 259 Minor: 0` of an iblock object's `info`.
fn iblock_number(info: &str) -> Option<Number> {
    let mut words = info.split_whitespace().skip_while(|word| *word != "Major:").skip(1);
    let major = words.next()?.parse().ok()?;
    let minor = words.nth(1)?.parse().ok()?;
    (major != 0).then_some(Number::Block(major, minor))
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

    fn found(tree: &Tree) -> (Vec<Target>, Vec<Unseen>) {
        let mut unseen = Vec::new();
        (targets(&tree.host(), &mut unseen), unseen)
    }

    fn names(tree: &Tree) -> Vec<String> {
        found(tree).0.into_iter().map(|target| format!("{}: {}", target.name, target.number)).collect()
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
        let objects = [("namespaces/1", "/dev/nvme0n1", "1"), ("namespaces/2", "/dev/nvme0n1", "0")];
        let others = [("namespaces/3", "/srv/image", "1"), ("passthru", "/dev/nvme0", "1")];
        for (object, path, enable) in objects.into_iter().chain(others) {
            tree.file(&format!("{subsystem}/{object}/device_path"), format!("{path}\n"));
            tree.file(&format!("{subsystem}/{object}/enable"), format!("{enable}\n"));
        }
        let expected = ["nvmet namespace 1 of nqn.x: block 259:0", "nvmet passthru of nqn.x: char 240:0"];
        assert_eq!(names(&tree), expected);
    }

    #[test]
    fn finds_disks_that_lio_and_gadgets_export() {
        let tree = tree();
        let core = format!("{CONFIG}/target/core");
        let iblock = "Status: ACTIVATED\n        iBlock device: sda  UDEV PATH: /dev/sda  readonly: 0\n\
                      \x20       Major: 8 Minor: 0  CLAIMED: IBLOCK\n";
        let fileio = |path: &str| {
            format!("TCM FILEIO ID: 0        File: {path}  Size: 67108864  Mode: O_DSYNC Async: 0\n")
        };
        tree.file(&format!("{core}/iblock_0/disk/info"), iblock);
        tree.file(&format!("{core}/fileio_0/disk/info"), fileio("/dev/nvme0n1"));
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

    #[test]
    fn targets_that_cannot_be_looked_at_are_unseen() {
        let tree = tree();
        tree.dir("sys/module/nvmet");
        let object = format!("{CONFIG}/target/core/pscsi_0/disk");
        tree.file(&format!("{object}/udev_path"), "/dev/gone\n");
        let places: Vec<String> = found(&tree).1.into_iter().map(|unseen| unseen.place).collect();
        assert!(places[0].ends_with("sys/kernel/config/nvmet"), "{places:?}");
        assert_eq!(places[1], "/dev/gone of LIO pscsi_0/disk");
    }
}
