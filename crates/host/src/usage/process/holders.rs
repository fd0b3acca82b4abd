//! The nodes of a device, and the processes that have the nodes open.

use std::collections::BTreeSet;
use std::path::Path;

use super::scan::Processes;
use crate::device::DeviceNumber;
use crate::usage::descendants::DeviceNode;
use crate::usage::usage::Usage;
use crate::{Device, Host, sysfs};

/// Major number of NVIDIA's nodes.
const NVIDIA_MAJOR: u32 = 195;

/// Returns the VFIO nodes of a PCI device: that of the device and that of its group.
pub(crate) fn vfio_nodes(host: &Host, device: &Device) -> Vec<DeviceNode> {
    let dir = host.pci(device.address);
    let group = device.group.filter(|_| device.on_vfio());
    nodes_below(host, &dir, device.cdev.as_deref(), group)
}

/// Returns the VFIO nodes of the device that has the folder `dir` in sysfs.
pub(crate) fn nodes_below(
    host: &Host,
    dir: &Path,
    cdev: Option<&str>,
    group: Option<u32>,
) -> Vec<DeviceNode> {
    let mut nodes = Vec::new();
    if let Some(name) = cdev {
        nodes.push(DeviceNode {
            path: format!("/dev/vfio/devices/{name}"),
            number: DeviceNumber::read_char(&dir.join("vfio-dev").join(name)),
            vital: true,
        });
    }

    if let Some(group) = group {
        let dir = host.path("sys/class/vfio").join(group.to_string());
        nodes.push(DeviceNode {
            path: format!("/dev/vfio/{group}"),
            number: DeviceNumber::read_char(&dir),
            vital: true,
        });
    }

    nodes
}

/// Returns the node of a GPU on NVIDIA's own driver, which sysfs does not list.
pub(crate) fn nvidia_node(host: &Host, device: &Device) -> Option<DeviceNode> {
    let folder = host.path("proc/driver/nvidia/gpus");
    let path = folder.join(device.address.to_string()).join("information");
    let information = sysfs::read(path)?;
    let mut lines = information.lines();
    let minor = lines.find_map(|line| line.strip_prefix("Device Minor:"))?;
    let minor = minor.trim();
    let number = minor.parse().ok();
    Some(DeviceNode {
        path: format!("/dev/nvidia{minor}"),
        number: number.map(|minor| DeviceNumber::Char(NVIDIA_MAJOR, minor)),
        vital: true,
    })
}

/// Lists the processes that have nodes open, each process once for each node.
pub(crate) fn holders(nodes: &[DeviceNode], processes: &Processes) -> Vec<Usage> {
    let mut holders = BTreeSet::new();
    for (process, numbers) in &processes.open {
        for node in nodes {
            if node.number.is_some_and(|number| numbers.contains(&number)) {
                holders.insert(Usage::Process {
                    pid: process.pid,
                    comm: process.comm.clone(),
                    node: node.path.clone(),
                    vital: node.vital,
                });
            }
        }
    }

    holders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    /// Adds a process that has a node open.
    fn open(tree: &Tree, pid: u32, comm: &str, path: &str, number: &str) {
        tree.file(&path[1..], number);
        tree.file(&format!("proc/{pid}/comm"), format!("{comm}\n"));
        tree.link(&format!("proc/{pid}/fd/7"), path);
    }

    fn process(pid: u32, comm: &str, node: &str, vital: bool) -> Usage {
        Usage::Process {
            pid,
            comm: comm.into(),
            node: node.into(),
            vital,
        }
    }

    #[test]
    fn process_with_an_open_vfio_node_is_a_holder() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some("vfio-pci"), 12);
        tree.file(&format!("{dir}/vfio-dev/vfio3/dev"), "511:3\n");
        tree.file("sys/class/vfio/12/dev", "510:0\n");
        open(&tree, 100, "qemu", "/dev/vfio/devices/vfio3", "char 511:3");
        open(&tree, 101, "qemu-old", "/dev/vfio/12", "char 510:0");
        open(
            &tree,
            102,
            "other",
            "/dev/vfio/devices/vfio33",
            "char 511:33",
        );
        let expected = [
            process(100, "qemu", "/dev/vfio/devices/vfio3", true),
            process(101, "qemu-old", "/dev/vfio/12", true),
        ];

        assert_eq!(
            tree.host().usage_report(&tree.host().devices()[0]).usages,
            expected
        );
    }

    #[test]
    fn process_with_an_open_nvidia_node_is_a_holder() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x030000);
        let information = "Model: \t\t A GPU\nDevice Minor: \t 1\nGPU Firmware: \t 1\n";
        tree.file(
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            information,
        );
        open(&tree, 100, "Xorg", "/dev/nvidia1", "char 195:1");
        open(&tree, 101, "other", "/dev/nvidia0", "char 195:0");
        let usages = tree.host().usage_report(&tree.host().devices()[0]).usages;

        assert_eq!(usages, [process(100, "Xorg", "/dev/nvidia1", true)]);
    }

    #[test]
    fn open_disk_blocks_and_open_keyboard_informs() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x0c0330);
        tree.block(&format!("{dir}/usb1/sda"), "8:0");
        tree.class("input", &format!("{dir}/usb1/event3"));
        tree.file(
            &format!("{dir}/usb1/event3/uevent"),
            "DEVNAME=input/event3\n",
        );
        tree.file(&format!("{dir}/usb1/event3/dev"), "13:67\n");
        open(&tree, 100, "qemu", "/dev/sda", "block 8:0");
        open(&tree, 101, "logind", "/dev/input/event3", "char 13:67");
        let expected = [
            process(100, "qemu", "/dev/sda", true),
            process(101, "logind", "/dev/input/event3", false),
        ];

        assert_eq!(
            tree.host().usage_report(&tree.host().devices()[0]).usages,
            expected
        );
    }
}
