//! Tests of what keeps a device from being taken, from the first look to the change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use passthru_pci::Address;

use crate::test_tree::Tree;
use crate::{Error, Request};

const NVME: &str = "sys/devices/pci/0000:01:00.0";

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// An NVMe disk on its driver, and a NIC on `vfio-pci`. Nothing moves when their files are written.
fn host() -> Tree {
    let tree = Tree::new();
    let nvme = tree.pci("0000:01:00.0", 0x010802);
    tree.place("0000:01:00.0", Some("nvme"), 1);
    tree.file(&format!("{nvme}/driver_override"), "(null)\n");
    tree.block(&format!("{NVME}/nvme/nvme0/nvme0n1"), "259:0");
    tree.pci("0000:02:00.0", 0x020000);
    tree.place("0000:02:00.0", Some("vfio-pci"), 2);
    tree.dir("sys/bus/pci/drivers/vfio-pci");
    tree
}

fn override_of_nvme(tree: &Tree) -> String {
    fs::read_to_string(tree.path(&format!("{NVME}/driver_override"))).unwrap()
}

/// A program in place of `modprobe`, which runs between the first look and the second.
fn run_between_looks(tree: &Tree, script: &str) {
    tree.file("between", format!("#!/bin/sh\ncd {}\n{script}\n", tree.path("").display()));
    fs::set_permissions(tree.path("between"), fs::Permissions::from_mode(0o755)).unwrap();
    tree.file("proc/sys/kernel/modprobe", tree.path("between").to_str().unwrap());
}

#[test]
fn use_that_begins_after_the_first_look_is_refused() {
    let tree = host();
    let mount = "echo '30 22 259:0 / /data rw - ext4 /dev/nvme0n1 rw' >proc/self/mountinfo";
    run_between_looks(&tree, &format!("mkdir sys/bus/pci/drivers/late_vfio_pci; {mount}"));
    let nvme = address("01:00.0");
    let request = Request { driver: Some("late_vfio_pci".into()), ..Request::managed(nvme) };
    let error = tree.host().assign(&[request], None, false).unwrap_err();
    assert_eq!(error.to_string(), "0000:01:00.0 is in use: the file system on /data (nvme0n1)");
    assert_eq!(override_of_nvme(&tree), "(null)\n");
    assert_eq!((tree.host().record(nvme).unwrap(), tree.host().owner(nvme)), (None, None));
}

#[test]
fn disk_whose_node_is_missing_is_not_taken() {
    let tree = host();
    let nvme = [Request::managed(address("01:00.0"))];
    assert_eq!(tree.host().check(&nvme).unwrap().len(), 0);
    tree.file("dev/nvme0n1", "block 8:0\n");
    let another = tree.host().assign(&nvme, None, false).unwrap_err();
    assert!(matches!(another, Error::Unseen { .. }), "{another}");
    assert!(another.to_string().contains("(/dev/nvme0n1: it is block 8:0, not block 259:0)"), "{another}");
    fs::remove_file(tree.path("dev/nvme0n1")).unwrap();
    let missing = tree.host().assign(&nvme, None, false).unwrap_err();
    assert!(missing.to_string().contains("(/dev/nvme0n1: No such file or directory"), "{missing}");
    assert_eq!(override_of_nvme(&tree), "(null)\n");
}

#[test]
fn processes_that_cannot_be_seen_stop_disks_and_unbinding() {
    let tree = host();
    fs::remove_file(tree.path("proc/1/ns/pid")).unwrap();
    tree.link("proc/1/ns/pid", "pid:[4026532000]");
    let error = tree.host().assign(&[Request::managed(address("01:00.0"))], None, false).unwrap_err();
    assert!(matches!(error, Error::Unseen { .. }), "{error}");
    let error = tree.host().release(&[address("02:00.0")], false).unwrap_err();
    assert!(matches!(error, Error::Unseen { .. }), "{error}");
}

#[test]
fn device_without_iommu_and_group_is_refused_for_the_iommu() {
    let tree = Tree::new();
    let dir = tree.pci("0000:03:00.0", 0x020000);
    tree.file(&format!("{dir}/vfio-dev/noiommu-vfio0/dev"), "511:0\n");
    let error = tree.host().check(&[Request::managed(address("03:00.0"))]).unwrap_err();
    assert!(matches!(error, Error::DeviceWithoutIommu { .. }), "{error}");
}
