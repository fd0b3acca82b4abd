//! What hangs below a PCI device in sysfs: block devices, network interfaces, device nodes.

use std::fs;
use std::path::Path;

use crate::device::DeviceNumber;
use crate::sysfs;

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    /// Its path, `/dev/…`, which is how messages call it.
    pub(crate) path: String,
    /// What tells it from others. `None` where the kernel has none, so that nobody can open it.
    pub(crate) number: Option<DeviceNumber>,
    /// Whether whoever has it open depends on it.
    pub(crate) vital: bool,
}

/// The devices below a PCI device, at any depth.
#[derive(Debug, Default)]
pub(crate) struct Descendants {
    pub(crate) blocks: Vec<String>,
    pub(crate) netdevs: Vec<String>,
    /// The nodes of all but block devices.
    pub(crate) nodes: Vec<DeviceNode>,
}

impl Descendants {
    /// Walks the folder of a device. What links point at is not below it.
    pub(crate) fn of_device_dir(dir: &Path) -> Self {
        let mut below = Self::default();
        below.walk(dir);
        below
    }

    fn walk(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.visit(
                    &entry.path(),
                    entry.file_name().to_string_lossy().into_owned(),
                );
                self.walk(&entry.path());
            }
        }
    }

    fn visit(&mut self, dir: &Path, name: String) {
        match sysfs::link_name(dir.join("subsystem")).as_deref() {
            Some("block") => self.blocks.push(name),
            Some("net") => self.netdevs.push(name),
            Some(_) => self.nodes.extend(DeviceNode::from_char_device(dir)),
            None => {}
        }
    }
}

impl DeviceNode {
    /// Reads the node of a character device from its folder, if it has one.
    pub(crate) fn from_char_device(dir: &Path) -> Option<Self> {
        let subsystem = sysfs::link_name(dir.join("subsystem"))?;
        let path = format!("/dev/{}", node_name(dir)?);
        let number = sysfs::read(dir.join("dev")).and_then(|text| DeviceNumber::parse_char(&text));
        Some(Self {
            path,
            number,
            vital: matches!(subsystem.as_str(), "drm" | "vfio-dev"),
        })
    }
}

/// Returns the name of a device's node below `/dev`.
pub(crate) fn node_name(dir: &Path) -> Option<String> {
    let uevent = sysfs::read(dir.join("uevent"))?;
    uevent
        .lines()
        .find_map(|line| line.strip_prefix("DEVNAME="))
        .map(str::to_owned)
}
