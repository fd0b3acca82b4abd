//! A host's file trees in a temporary folder, for the tests of this crate.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::Host;

/// A host's file trees in a temporary folder.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.link("proc/1/ns/pid", "pid:[4026531836]");
        for file in ["self/mountinfo", "swaps", "filesystems"] {
            tree.file(&format!("proc/{file}"), "");
        }
        tree
    }

    pub(crate) fn host(&self) -> Host {
        Host::at(self.0.path()).with_wait(Duration::from_millis(20))
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Adds a folder to which only its owner may write, with any umask.
    pub(crate) fn dir(&self, path: &str) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.path(path))
            .unwrap();
    }

    /// Adds a file to which only its owner may write, with any umask.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        self.parent(path);
        fs::write(self.path(path), content).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Adds the folder of a file.
    fn parent(&self, path: &str) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.dir(folder);
        }
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        self.parent(path);
        symlink(target, self.path(path)).unwrap();
    }

    /// Adds `/proc` as a process of this boot sees it.
    pub(crate) fn proc(&self) {
        self.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        self.link("proc/self/ns/pid", "pid:[4026531836]");
        self.file("proc/self/stat", "");
    }

    /// Adds a process, whose name looks like the rest of the line.
    pub(crate) fn process(&self, pid: u32, state: char, start_time: u64) {
        let zeros = "0 ".repeat(18);
        self.file(
            &format!("proc/{pid}/stat"),
            format!("{pid} (a) Z 1 (b) {state} {zeros}{start_time} 0 0\n"),
        );
        self.dir(&format!("proc/{pid}/task/{pid}"));
    }

    /// Adds a PCI device, and returns its folder, `sys/devices/pci/ADDRESS`.
    pub(crate) fn pci(&self, address: &str, class: u32) -> String {
        let dir = format!("sys/devices/pci/{address}");
        self.file(&format!("{dir}/vendor"), "0x8086\n");
        self.file(&format!("{dir}/device"), "0x1234\n");
        self.file(&format!("{dir}/class"), format!("{class:#08x}\n"));
        self.link(
            &format!("sys/bus/pci/devices/{address}"),
            &format!("../../../devices/pci/{address}"),
        );
        dir
    }

    /// Puts a device on a driver and into a group.
    pub(crate) fn place(&self, address: &str, driver: Option<&str>, group: u32) {
        let dir = format!("sys/devices/pci/{address}");
        if let Some(driver) = driver {
            self.link(
                &format!("{dir}/driver"),
                &format!("../../../bus/pci/drivers/{driver}"),
            );
        }

        self.link(
            &format!("{dir}/iommu_group"),
            &format!("../../../kernel/iommu_groups/{group}"),
        );
        self.link(
            &format!("sys/kernel/iommu_groups/{group}/devices/{address}"),
            "x",
        );
    }

    /// Adds a device of a class (`block`, `net`, …) in the folder `dir`, with its link in
    /// `/sys/class`.
    pub(crate) fn class(&self, class: &str, dir: &str) {
        let name = dir.rsplit('/').next().unwrap();
        self.link(&format!("{dir}/subsystem"), &format!("/sys/class/{class}"));
        let below = dir.strip_prefix("sys/").unwrap();
        self.link(
            &format!("sys/class/{class}/{name}"),
            &format!("../../{below}"),
        );
    }

    /// Adds a block device with its number.
    pub(crate) fn block(&self, dir: &str, number: &str) {
        self.class("block", dir);
        self.file(&format!("{dir}/dev"), format!("{number}\n"));
        let name = dir.rsplit('/').next().unwrap();
        self.file(
            &format!("{dir}/uevent"),
            format!("MAJOR=1\nDEVNAME={name}\n"),
        );
        self.file(&format!("dev/{name}"), format!("block {number}\n"));
    }
}
