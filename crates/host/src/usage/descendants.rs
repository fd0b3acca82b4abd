//! The devices below a PCI device in sysfs: block devices, network interfaces, device nodes.

use std::fs;
use std::path::Path;

use crate::device::DeviceNumber;
use crate::sysfs;

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    /// Path in `/dev`, as messages name the node.
    pub(crate) path: String,
    /// Number of the device. `None` if the kernel has no number, so that nothing can open the node.
    pub(crate) number: Option<DeviceNumber>,
    /// Whether a process that has the node open depends on the device.
    pub(crate) vital: bool,
}

/// The devices below a PCI device, at any depth.
#[derive(Debug, Default)]
pub(crate) struct Descendants {
    /// Names of block devices.
    pub(crate) blocks: Vec<String>,
    /// Names of network interfaces.
    pub(crate) netdevs: Vec<String>,
    /// Nodes of all other devices.
    pub(crate) nodes: Vec<DeviceNode>,
}

impl Descendants {
    /// Finds the devices below a device's folder in sysfs. Links are not followed.
    pub(crate) fn of_device_dir(dir: &Path) -> Self {
        let mut below = Self::default();
        below.walk(dir);
        below
    }

    fn walk(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.add(&entry.path(), name);
                self.walk(&entry.path());
            }
        }
    }

    fn add(&mut self, dir: &Path, name: String) {
        match sysfs::link_name(dir.join("subsystem")).as_deref() {
            Some("block") => self.blocks.push(name),
            Some("net") => self.netdevs.push(name),
            Some(_) => self.nodes.extend(DeviceNode::from_char_device(dir)),
            None => {}
        }
    }
}

impl DeviceNode {
    /// Reads the node of a character device from the device's folder. Returns `None` for a device
    /// without a node.
    pub(crate) fn from_char_device(dir: &Path) -> Option<Self> {
        let subsystem = sysfs::link_name(dir.join("subsystem"))?;
        let path = format!("/dev/{}", node_name(dir)?);
        let number = DeviceNumber::read_char(dir);
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
    let mut lines = uevent.lines();
    let name = lines.find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(name.to_owned())
}
