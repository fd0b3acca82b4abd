//! Processes that have device nodes open, as far as they can be seen (all of them: root only).

use std::fs;

use super::Use;
use super::below::Node;
use crate::{Device, Host, sysfs};

/// A device node that a process has open.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    pid: u32,
    comm: String,
    path: String,
}

/// Lists the device nodes that processes have open.
pub(crate) fn device_nodes(host: &Host) -> Vec<OpenFile> {
    let proc = host.path("proc");
    let mut open = Vec::new();
    for pid in sysfs::names(&proc).iter().filter_map(|name| name.parse::<u32>().ok()) {
        let dir = proc.join(pid.to_string());
        let comm = || sysfs::read(dir.join("comm")).unwrap_or_default();
        let mut paths: Vec<String> = sysfs::names(dir.join("fd"))
            .iter()
            .filter_map(|fd| fs::read_link(dir.join("fd").join(fd)).ok())
            .map(|target| target.to_string_lossy().into_owned())
            .filter(|path| path.starts_with("/dev/"))
            .collect();
        paths.sort();
        paths.dedup();
        open.extend(paths.into_iter().map(|path| OpenFile { pid, comm: comm(), path }));
    }
    open
}

/// The VFIO nodes of a device: its own, and its group's.
pub(crate) fn vfio_nodes(device: &Device) -> Vec<Node> {
    let own = device.cdev.iter().map(|name| format!("/dev/vfio/devices/{name}"));
    let group = device.group.filter(|_| device.on_vfio()).map(|group| format!("/dev/vfio/{group}"));
    own.chain(group).map(|path| Node { path, vital: true }).collect()
}

/// NVIDIA's own driver has nodes that sysfs does not know.
pub(crate) fn nvidia_node(host: &Host, device: &Device) -> Option<Node> {
    let path = host.path("proc/driver/nvidia/gpus").join(device.address.to_string()).join("information");
    let information = sysfs::read(path)?;
    let minor = information.lines().find_map(|line| line.strip_prefix("Device Minor:"))?;
    Some(Node { path: format!("/dev/nvidia{}", minor.trim()), vital: true })
}

pub(crate) fn holders(nodes: &[Node], open: &[OpenFile]) -> Vec<Use> {
    let mut holders: Vec<Use> = open
        .iter()
        .filter_map(|OpenFile { pid, comm, path }| {
            let node = nodes.iter().find(|node| node.path == *path)?;
            Some(Use::Process { pid: *pid, comm: comm.clone(), node: path.clone(), vital: node.vital })
        })
        .collect();
    holders.sort();
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn open(tree: &Tree, pid: u32, comm: &str, path: &str) {
        tree.file(&format!("proc/{pid}/comm"), format!("{comm}\n"));
        tree.link(&format!("proc/{pid}/fd/7"), path);
    }

    fn process(pid: u32, comm: &str, node: &str, vital: bool) -> Use {
        Use::Process { pid, comm: comm.into(), node: node.into(), vital }
    }

    #[test]
    fn finds_who_has_the_vfio_nodes_open() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some("vfio-pci"), 12);
        tree.file(&format!("{dir}/vfio-dev/vfio3/dev"), "511:3\n");
        open(&tree, 100, "qemu", "/dev/vfio/devices/vfio3");
        open(&tree, 101, "qemu-old", "/dev/vfio/12");
        open(&tree, 102, "other", "/dev/vfio/devices/vfio33");
        let expected = [
            process(100, "qemu", "/dev/vfio/devices/vfio3", true),
            process(101, "qemu-old", "/dev/vfio/12", true),
        ];
        assert_eq!(tree.host().uses(&tree.host().devices()[0]).known, expected);
    }

    #[test]
    fn finds_who_has_an_nvidia_gpu_open() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x030000);
        let information = "Model: \t\t A GPU\nDevice Minor: \t 1\nGPU Firmware: \t 1\n";
        tree.file("proc/driver/nvidia/gpus/0000:01:00.0/information", information);
        open(&tree, 100, "Xorg", "/dev/nvidia1");
        open(&tree, 101, "other", "/dev/nvidia0");
        let uses = tree.host().uses(&tree.host().devices()[0]).known;
        assert_eq!(uses, [process(100, "Xorg", "/dev/nvidia1", true)]);
    }

    #[test]
    fn an_open_disk_blocks_and_an_open_keyboard_informs() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x0c0330);
        tree.block(&format!("{dir}/usb1/sda"), "8:0");
        tree.class("input", &format!("{dir}/usb1/event3"));
        tree.file(&format!("{dir}/usb1/event3/uevent"), "DEVNAME=input/event3\n");
        open(&tree, 100, "qemu", "/dev/sda");
        open(&tree, 101, "logind", "/dev/input/event3");
        let expected =
            [process(100, "qemu", "/dev/sda", true), process(101, "logind", "/dev/input/event3", false)];
        assert_eq!(tree.host().uses(&tree.host().devices()[0]).known, expected);
    }
}
