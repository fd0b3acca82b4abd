//! Plans of guests whose VMM opens devices by itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use passthru_host::Request;

use super::*;
use crate::op::op::Op;
use crate::plan::start_plan::StartPlan;
use crate::start::check::check_host;
use crate::start::user::User;

fn disk(target: &str, bus: u8, managed: &str) -> String {
    format!(
        "<disk type='nvme' device='disk'><source type='pci' {managed} namespace='1'>\
         <address domain='0' bus='{bus}' slot='0' function='0'/></source>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

pub(super) fn hostdev(bus: u8, iommufd: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='{iommufd}'/><source>\
         <address domain='0' bus='{bus}' slot='0' function='0'/></source></hostdev>"
    )
}

pub(super) fn plan(root: &Path, devices: &str) -> StartPlan {
    let xml = format!(
        "<domain type='kvm'><name>vm</name><memory>1048576</memory><os><type arch='x86_64' \
         machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"
    );
    StartPlan::for_test(&xml, root, User::choose(None).unwrap())
}

/// Adds a device on `vfio-pci`, in a group, to a copy of a host.
pub(super) fn add_device(root: &Path, bus: u8, group: u32) {
    let address = format!("0000:{bus:02x}:00.0");
    let dir = root.join("sys/devices").join(&address);
    let groups = root.join("sys/kernel/iommu_groups");
    let members = groups.join(group.to_string()).join("devices");
    for folder in [&dir, &members, &root.join("sys/bus/pci/devices")] {
        fs::create_dir_all(folder).unwrap();
    }
    for (file, text) in [
        ("vendor", "0x1b36\n"),
        ("device", "0x0010\n"),
        ("class", "0x010802\n"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }

    symlink("/x/drivers/vfio-pci", dir.join("driver")).unwrap();
    symlink(groups.join(group.to_string()), dir.join("iommu_group")).unwrap();
    symlink("x", members.join(&address)).unwrap();
    symlink(&dir, root.join("sys/bus/pci/devices").join(&address)).unwrap();
}

fn address(bus: u8) -> Address {
    Address::new(0, bus, 0, 0).unwrap()
}

#[test]
fn nvme_disks_are_requested_as_hostdevs_are() {
    let root = tempfile::tempdir().unwrap();
    let devices = disk("vda", 5, "managed='yes'") + &disk("vdb", 6, "") + &hostdev(7, "yes");
    let plan = plan(root.path(), &devices);
    assert_eq!(
        plan.requests,
        [
            Request::managed(address(7)),
            Request::managed(address(5)),
            Request::unmanaged(address(6)),
        ]
    );
    assert!(plan.needs_root());
}

#[test]
fn dry_run_shows_the_nodes_that_the_vmm_opens() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    let plan = plan(root.path(), &disk("vda", 5, ""));
    let ops = plan.ops(&Host::at(root.path())).unwrap();
    let text: Vec<String> = ops.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for step in [
        "claim 0000:05:00.0, which stays on vfio-pci",
        "by type1: /dev/vfio/vfio, /dev/vfio/12",
        "queues and buffers of QEMU's own NVMe driver",
    ] {
        assert!(text.contains(step), "'{step}' is not in:\n{text}");
    }

    assert!(!text.contains("/dev/iommu"), "{text}");
}

#[test]
fn type1_hostdev_is_opened_by_its_group_alone() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    add_device(root.path(), 6, 12);
    add_device(root.path(), 7, 13);
    let devices = hostdev(5, "no") + &hostdev(6, "no") + &hostdev(7, "yes");
    let devices = format!("<iommu model='intel'/>{devices}");
    let plan = plan(root.path(), &devices);

    assert_eq!(plan.backends(), [Backend::Iommufd, Backend::Type1]);
    assert!(plan.needs_root());

    let ops = plan.ops(&Host::at(root.path())).unwrap();
    let text: Vec<String> = ops.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for step in [
        "load the kernel's modules for iommufd and type1",
        "open /dev/vfio/devices/vfioN of 0000:07:00.0",
        "by type1: /dev/vfio/vfio, /dev/vfio/12\n",
        "all of it again for 2 more address spaces",
    ] {
        assert!(text.contains(step), "'{step}' is not in:\n{text}");
    }

    assert!(!text.contains("vfioN of 0000:05:00.0"), "{text}");

    let command = plan.command();
    assert!(command.contains(r#""host":"0000:05:00.0""#), "{command}");
    assert!(!command.contains(r#""host":"0000:07:00.0""#), "{command}");
}

#[test]
fn vmm_gets_no_node_of_an_unassigned_device() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    let unassigned = hostdev(5, "no").replace("</source>", "</source><address type='unassigned'/>");
    let plan = plan(root.path(), &unassigned);

    assert_eq!(plan.requests.len(), 1);
    assert_eq!(plan.backends(), []);

    let ops = plan.ops(&Host::at(root.path())).unwrap();
    let has_folder = ops.iter().any(|op| matches!(op, Op::MakeVfioFolder { .. }));
    assert!(!has_folder, "{ops:?}");
}

#[test]
fn hostdevs_of_one_group_need_one_backend() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    add_device(root.path(), 6, 12);
    let host = Host::at(root.path());
    for (first, second, is_refused) in [
        ("no", "no", false),
        ("yes", "yes", false),
        ("yes", "no", true),
        ("no", "yes", true),
    ] {
        let plan = plan(root.path(), &(hostdev(5, first) + &hostdev(6, second)));
        let checked = check_groups(&plan.domain, &host);
        assert_eq!(checked.is_err(), is_refused, "{first} {second}");
        if let Err(error) = checked {
            let rule = "one of them is on iommufd and the other on type1";
            assert!(error.to_string().contains(rule), "{error}");
        }
    }
}

#[test]
fn group_of_disk_and_hostdev_is_refused() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    add_device(root.path(), 7, 12);
    add_device(root.path(), 8, 13);
    let host = Host::at(root.path());
    let apart = plan(root.path(), &(disk("vda", 5, "") + &hostdev(8, "yes")));
    check_groups(&apart.domain, &host).unwrap();

    for iommufd in ["yes", "no"] {
        let shared = plan(root.path(), &(disk("vda", 5, "") + &hostdev(7, iommufd)));
        let error = check_groups(&shared.domain, &host).unwrap_err().to_string();
        assert!(
            error.starts_with("disk 'vda' is on 0000:05:00.0 in IOMMU group 12, which has")
                && error.contains("0000:07:00.0 (hostdev 0000:07:00.0)"),
            "{error}"
        );
    }
}

#[test]
fn kernel_without_type1_is_refused() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    fs::create_dir_all(root.path().join("sys/class/vfio-dev")).unwrap();
    for devices in [disk("vda", 5, ""), hostdev(5, "no")] {
        let plan = plan(root.path(), &devices);
        // The copy of a host has no /proc, so the usages are unknown too.
        let error = check_host(&plan, &Host::at(root.path())).unwrap_err();
        let Error::Several(errors) = &error else {
            panic!("{error}")
        };

        assert!(
            matches!(errors[0], Error::Host(passthru_host::Error::NoType1)),
            "{error}"
        );
    }
}

#[test]
fn kernel_without_iommufd_is_refused_for_iommufd_alone() {
    let root = tempfile::tempdir().unwrap();
    add_device(root.path(), 5, 12);
    for (iommufd, is_refused) in [("yes", true), ("no", false)] {
        let plan = plan(root.path(), &hostdev(5, iommufd));
        let error = check_host(&plan, &Host::at(root.path())).unwrap_err();
        let words = "the running kernel has no iommufd";
        assert_eq!(error.to_string().contains(words), is_refused, "{error}");
    }
}
