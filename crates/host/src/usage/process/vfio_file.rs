//! Open VFIO devices that a process got from its group, or from another process: they have no node,
//! and their `fdinfo` names the device, since Linux 6.18.

use std::path::{Path, PathBuf};

use crate::device::DeviceNumber;
use crate::{Host, sysfs};

/// Returns the number of the VFIO node of the device that a descriptor in `/proc/PID/fd` is, by the
/// descriptor's file in `fdinfo`.
pub(crate) fn number(host: &Host, info: &Path) -> Option<DeviceNumber> {
    let text = sysfs::read(info)?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("vfio-device-syspath:"))?
        .trim();
    let device = host.path(path.trim_start_matches('/'));
    let nodes = device.join("vfio-dev");
    let own = sysfs::names(&nodes)
        .into_iter()
        .map(|name| nodes.join(name));
    let group = sysfs::link_name(device.join("iommu_group"));
    let group = group.map(|group| host.path("sys/class/vfio").join(group));
    own.chain(group).find_map(number_in)
}

fn number_in(dir: PathBuf) -> Option<DeviceNumber> {
    DeviceNumber::parse_char(&sysfs::read(dir.join("dev"))?)
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
            tree.file("proc/77/fd/anon_inode:[vfio-device]", ""); // where the link of a copy leads
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
