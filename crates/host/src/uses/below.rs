//! What hangs below a PCI device in sysfs: block devices, network interfaces, device nodes.

use std::fs;
use std::path::Path;

use crate::sysfs;

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its path, `/dev/…`.
    pub(crate) path: String,
    /// Whether whoever has it open depends on it.
    pub(crate) vital: bool,
}

/// The devices below a PCI device, at any depth.
#[derive(Debug, Default)]
pub(crate) struct Below {
    pub(crate) blocks: Vec<String>,
    pub(crate) netdevs: Vec<String>,
    pub(crate) nodes: Vec<Node>,
}

impl Below {
    /// Walks the folder of a device. What links point at is not below it.
    pub(crate) fn of(dir: &Path) -> Self {
        let mut below = Self::default();
        below.walk(dir);
        below
    }

    fn walk(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.visit(&entry.path(), entry.file_name().to_string_lossy().into_owned());
                self.walk(&entry.path());
            }
        }
    }

    fn visit(&mut self, dir: &Path, name: String) {
        let Some(subsystem) = sysfs::link_name(dir.join("subsystem")) else { return };
        if let Some(node) = node_name(dir) {
            let vital = matches!(subsystem.as_str(), "block" | "drm" | "vfio-dev");
            self.nodes.push(Node { path: format!("/dev/{node}"), vital });
        }
        match subsystem.as_str() {
            "block" => self.blocks.push(name),
            "net" => self.netdevs.push(name),
            _ => {}
        }
    }
}

fn node_name(dir: &Path) -> Option<String> {
    let uevent = sysfs::read(dir.join("uevent"))?;
    uevent.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned)
}
