//! VFIO devices that a process has open without a node.
//!
//! A process gets such a file from its group (`VFIO_GROUP_GET_DEVICE_FD`) or from another process.
//! The `fdinfo` of the file names the device since Linux 6.18.

use std::path::Path;

use crate::device::DeviceNumber;
use crate::{Host, sysfs};

/// Returns the number of the VFIO node of an open VFIO device: that of the device, else that of its
/// group. `info` is the file's path in `/proc/PID/fdinfo`.
pub(super) fn vfio_number(host: &Host, info: &Path) -> Option<DeviceNumber> {
    let text = sysfs::read(info)?;
    let mut lines = text.lines();
    let path = lines.find_map(|line| line.strip_prefix("vfio-device-syspath:"))?;
    let device = host.path(path.trim().trim_start_matches('/'));
    let nodes = device.join("vfio-dev");
    for name in sysfs::names(&nodes) {
        if let Some(number) = DeviceNumber::read_char(&nodes.join(name)) {
            return Some(number);
        }
    }

    let group = sysfs::link_name(device.join("iommu_group"))?;
    DeviceNumber::read_char(&host.path("sys/class/vfio").join(group))
}

#[cfg(test)]
mod tests {
    use crate::Usage;
    use crate::test_tree::Tree;

    #[test]
    fn device_opened_through_its_group_has_a_holder() {
        for cdev in [true, false] {
            let tree = Tree::new();
            let dir = tree.pci("0000:01:00.0", 0x020000);
            tree.place("0000:01:00.0", Some("vfio-pci"), 12);
            tree.file("sys/class/vfio/12/dev", "510:0\n");
            if cdev {
                tree.file(&format!("{dir}/vfio-dev/vfio3/dev"), "511:3\n");
            }
            tree.file("proc/77/comm", "qemu\n");
            tree.link("proc/77/fd/9", "anon_inode:[vfio-device]");
            // The link leads to this file in a copy.
            tree.file("proc/77/fd/anon_inode:[vfio-device]", "");
            tree.file(
                "proc/77/fdinfo/9",
                format!("pos:\t0\nvfio-device-syspath: /{dir}\n"),
            );
            let known = tree.host().usage_report(&tree.host().devices()[0]).usages;
            let node = if cdev {
                "/dev/vfio/devices/vfio3"
            } else {
                "/dev/vfio/12"
            };
            let holder = Usage::Process {
                pid: 77,
                comm: "qemu".into(),
                node: node.into(),
                vital: true,
            };
            assert_eq!(known, [holder]);
        }
    }
}
