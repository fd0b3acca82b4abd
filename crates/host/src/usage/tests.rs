//! Tests of the usages that keep a device from being taken, from the first check to the change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use passthru_pci::Address;

use crate::test_tree::Tree;
use crate::{Error, Request, Usage, UsageReport, Verdict};

const NVME: &str = "sys/devices/pci/0000:01:00.0";

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// Makes a host with an NVMe disk on its driver, and a NIC on `vfio-pci`. Writes to the files of
/// the tree move nothing.
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

#[test]
fn device_in_use_is_refused_with_its_usages() {
    let tree = host();
    tree.file(
        "proc/self/mountinfo",
        "30 22 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n",
    );
    let error = tree
        .host()
        .assign(&[Request::managed(address("01:00.0"))], None, false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "0000:01:00.0 is in use: the file system on /data (nvme0n1)"
    );
}

/// Replaces `modprobe`, which runs between the first check and the second, by a script.
fn run_between_checks(tree: &Tree, script: &str) {
    tree.file(
        "between",
        format!("#!/bin/sh\ncd {}\n{script}\n", tree.path("").display()),
    );
    fs::set_permissions(tree.path("between"), fs::Permissions::from_mode(0o755)).unwrap();
    tree.file(
        "proc/sys/kernel/modprobe",
        tree.path("between").to_str().unwrap(),
    );
}

#[test]
fn usage_that_begins_after_the_first_check_is_refused() {
    let tree = host();
    let mount = "echo '30 22 259:0 / /data rw - ext4 /dev/nvme0n1 rw' >proc/self/mountinfo";
    run_between_checks(
        &tree,
        &format!("mkdir sys/bus/pci/drivers/late_vfio_pci; {mount}"),
    );
    let nvme = address("01:00.0");
    let request = Request {
        driver: Some("late_vfio_pci".into()),
        ..Request::managed(nvme)
    };
    let error = tree.host().assign(&[request], None, false).unwrap_err();

    assert_eq!(
        error.to_string(),
        "0000:01:00.0 is in use: the file system on /data (nvme0n1)"
    );
    assert_eq!(override_of_nvme(&tree), "(null)\n");
    assert_eq!(tree.host().record(nvme).unwrap(), None);
    assert_eq!(tree.host().owner(nvme), None);
}

#[test]
fn disk_is_opened_only_to_take_it() {
    let tree = host();
    fs::remove_file(tree.path("dev/nvme0n1")).unwrap();
    let nvme = [Request::managed(address("01:00.0"))];
    let objections = tree.host().check(&nvme).unwrap();

    assert!(
        matches!(objections[..], [Error::UsageUnknown { .. }]),
        "{objections:?}"
    );

    let survey = tree.host().survey();
    assert_eq!(
        survey.report(&tree.host().devices()[0]),
        UsageReport::default()
    );
    assert_eq!(
        tree.host().check_with_survey(&survey, &nvme).unwrap().len(),
        0
    );
}

#[test]
fn member_of_a_raid_is_used_without_opening_it() {
    let tree = host();
    tree.block("sys/devices/virtual/block/md9", "9:9");
    tree.link(&format!("{NVME}/nvme/nvme0/nvme0n1/holders/md9"), "x");
    let expected = [Usage::Exclusive {
        block: "nvme0n1".into(),
        holders: vec!["md9".into()],
    }];

    assert_eq!(usages(&tree).usages, expected);
}

#[test]
fn disk_whose_node_is_missing_is_not_taken() {
    let tree = host();
    let nvme = [Request::managed(address("01:00.0"))];
    assert_eq!(tree.host().check(&nvme).unwrap().len(), 0);

    tree.file("dev/nvme0n1", "block 8:0\n");
    let another = tree.host().assign(&nvme, None, false).unwrap_err();
    assert!(matches!(another, Error::UsageUnknown { .. }), "{another}");
    assert!(
        another
            .to_string()
            .contains("(/dev/nvme0n1: it is block 8:0, not block 259:0)"),
        "{another}"
    );

    fs::remove_file(tree.path("dev/nvme0n1")).unwrap();
    let missing = tree.host().assign(&nvme, None, false).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("(/dev/nvme0n1: No such file or directory"),
        "{missing}"
    );
    assert_eq!(override_of_nvme(&tree), "(null)\n");
}

#[test]
fn hidden_processes_block_disks_and_releases() {
    let tree = host();
    fs::remove_file(tree.path("proc/1/ns/pid")).unwrap();
    tree.link("proc/1/ns/pid", "pid:[4026532000]");
    let error = tree
        .host()
        .assign(&[Request::managed(address("01:00.0"))], None, false)
        .unwrap_err();

    assert!(matches!(error, Error::UsageUnknown { .. }), "{error}");

    let error = tree
        .host()
        .release(&[address("02:00.0")], false)
        .unwrap_err();
    assert!(matches!(error, Error::UsageUnknown { .. }), "{error}");
}

#[test]
fn device_without_iommu_and_group_is_refused_for_the_iommu() {
    let tree = Tree::new();
    let dir = tree.pci("0000:03:00.0", 0x020000);
    tree.file(&format!("{dir}/vfio-dev/noiommu-vfio0/dev"), "511:0\n");
    let error = tree
        .host()
        .check(&[Request::managed(address("03:00.0"))])
        .unwrap_err();

    assert!(matches!(error, Error::DeviceWithoutIommu { .. }), "{error}");
}

/// Adds process 77, `holder`, which has a node open.
fn open(tree: &Tree, path: &str) {
    tree.file("proc/77/comm", "holder\n");
    tree.link("proc/77/fd/3", path);
}

fn holder(node: &str, vital: bool) -> Usage {
    Usage::Process {
        pid: 77,
        comm: "holder".into(),
        node: node.into(),
        vital,
    }
}

fn usages(tree: &Tree) -> UsageReport {
    tree.host().usage_report(&tree.host().devices()[0])
}

#[test]
fn generic_tape_and_accelerator_nodes_do_not_block() {
    let nodes = [
        ("nvme-generic", "ng0n1"),
        ("scsi_tape", "nst0"),
        ("scsi_tape", "st0"),
        ("accel", "accel0"),
    ];
    for (class, name) in nodes {
        let tree = host();
        let dir = format!("{NVME}/{class}/{name}");
        tree.class(class, &dir);
        tree.file(&format!("{dir}/uevent"), format!("DEVNAME={name}\n"));
        tree.file(&format!("{dir}/dev"), "241:7\n");
        tree.file("srv/alias", "char 241:7\n");
        open(&tree, "/srv/alias");
        let found = usages(&tree);
        assert_eq!(found.usages, [holder(&format!("/dev/{name}"), false)]);
        assert_eq!(found.verdict(), Verdict::Free);
    }
}

/// Adds a loop device over a file.
fn add_loop(tree: &Tree, name: &str, number: &str, file: &str) {
    let dir = format!("sys/devices/virtual/block/{name}");
    tree.block(&dir, number);
    tree.file(&format!("{dir}/loop/backing_file"), format!("{file}\n"));
}

fn loop_usage(block: &str, file: &str) -> Usage {
    Usage::Loop {
        block: block.into(),
        file: file.into(),
    }
}

#[test]
fn loop_over_a_loop_over_the_disk_is_found_with_its_opener() {
    let tree = host();
    tree.file("srv/alias", "block 259:0\n");
    add_loop(&tree, "loop0", "7:0", "/srv/alias");
    add_loop(&tree, "loop1", "7:1", "/dev/loop0");
    add_loop(&tree, "loop2", "7:2", "/srv/alias2");
    tree.file("srv/alias2", "block 8:0\n");
    open(&tree, "/dev/loop1");
    let expected = [
        loop_usage("loop0", "/srv/alias"),
        loop_usage("loop1", "/dev/loop0"),
        holder("/dev/loop1", true),
    ];

    assert_eq!(usages(&tree).usages, expected);
}

#[test]
fn loop_over_a_missing_file_is_a_blind_spot() {
    let tree = host();
    add_loop(&tree, "loop0", "7:0", "/srv/gone (deleted)");
    let blind_spots = usages(&tree).blind_spots;
    assert_eq!(blind_spots[0].place, "/dev/loop0, over /srv/gone (deleted)");
}

#[test]
fn multipath_head_is_found_by_the_links_of_sysfs() {
    for link in [true, false] {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        let path = format!("{NVME}/nvme/nvme5/odd-name");
        tree.class("block", &path);
        let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys9";
        tree.class("nvme-subsystem", subsystem);
        tree.link(&format!("{subsystem}/nvme5"), "x");
        tree.dir(&format!("{subsystem}/x"));
        for (head, number) in [("nvme9n1", "259:1"), ("nvme9n2", "259:2")] {
            tree.block(&format!("{subsystem}/{head}"), number);
            tree.file(
                &format!("{subsystem}/{head}/nsid"),
                format!("{}\n", &head[6..]),
            );
        }
        tree.file(&format!("{path}/nsid"), "2\n");
        if link {
            tree.link(&format!("{subsystem}/nvme9n1/multipath/other"), "x");
            tree.link(&format!("{subsystem}/nvme9n2/multipath/odd-name"), "x");
        }
        open(&tree, "/dev/nvme9n2");
        assert_eq!(
            usages(&tree).usages,
            [holder("/dev/nvme9n2", true)],
            "{link}"
        );
        fs::remove_file(tree.path("proc/77/fd/3")).unwrap();
        open(&tree, "/dev/nvme9n1");
        assert_eq!(usages(&tree).usages, [], "{link}");
    }
}

#[test]
fn private_mount_is_named_with_a_process() {
    let tree = host();
    tree.link("proc/77/ns/mnt", "mnt:[7]");
    tree.file("proc/77/comm", "service\n");
    tree.file(
        "proc/77/mountinfo",
        "30 22 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n",
    );
    let found = usages(&tree);
    let expected = "the file system on /data (nvme0n1) in the mounts of service (pid 77)";
    let texts: Vec<String> = found.usages.iter().map(ToString::to_string).collect();

    assert_eq!(texts, [expected]);
    assert_eq!(found.verdict(), Verdict::Used);
}

#[test]
fn disk_that_a_kernel_target_exports_is_used() {
    let tree = host();
    let namespace = "sys/kernel/config/nvmet/subsystems/nqn.x/namespaces/1";
    tree.file(&format!("{namespace}/device_path"), "/dev/nvme0n1\n");
    tree.file(&format!("{namespace}/enable"), "1\n");
    let found = usages(&tree).usages.remove(0);

    assert_eq!(
        found.to_string(),
        "nvmet namespace 1 of nqn.x, which exports /dev/nvme0n1"
    );
}

#[test]
fn hidden_processes_do_not_block_a_device_without_nodes() {
    let tree = Tree::new();
    tree.pci("0000:01:00.0", 0x020000);
    fs::remove_dir_all(tree.path("proc/1")).unwrap();
    assert_eq!(usages(&tree).verdict(), Verdict::Free);
}

#[test]
fn hidden_processes_do_not_block_a_handed_in_node() {
    let tree = host();
    fs::remove_dir_all(tree.path("proc/1")).unwrap();
    for (handed_in, count) in [(false, 1), (true, 0)] {
        let request = Request {
            handed_in,
            ..Request::unmanaged(address("02:00.0"))
        };
        let objections = tree.host().check(&[request]).unwrap();
        assert_eq!(objections.len(), count, "{objections:?}");
    }
}
