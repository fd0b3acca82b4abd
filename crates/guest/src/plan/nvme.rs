//! The controllers of a guest's NVMe disks, which the VMM opens by itself through type1.

use std::collections::BTreeMap;

use passthru_domain::Domain;
use passthru_host::Host;
use passthru_pci::Address;

use crate::error::Error;

/// A controller whose disk the VMM drives by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvmeController {
    pub(crate) address: Address,
    /// Disk in words: `disk 'vda'`.
    pub(crate) owner: String,
}

impl NvmeController {
    /// Returns the controllers of a domain's NVMe disks, in the order of the document.
    pub(crate) fn of_domain(domain: &Domain) -> Vec<Self> {
        let mut controllers = Vec::new();
        for function in domain.devices.nvme_functions() {
            controllers.push(Self {
                address: function.address,
                owner: function.owner_name(),
            });
        }

        controllers
    }
}

/// Checks that no NVMe disk of a domain shares its IOMMU group with another device of the guest.
///
/// The VMM opens the group for the disk. The kernel refuses a second open of a group
/// (`vfio_group_fops_open`), and to bind a character device in it (`vfio_device_block_group`), with
/// `EBUSY`.
///
/// # Errors
/// - If two devices share a group, then [`Error::SharedGroup`].
/// - If the host does not have a device, then [`Error::Host`].
pub(crate) fn check_groups(domain: &Domain, host: &Host) -> Result<(), Error> {
    let functions = domain.devices.assigned_functions();
    if functions.iter().all(|f| f.nvme_disk().is_none()) {
        return Ok(());
    }
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, function) in functions.iter().enumerate() {
        let Some(group) = host.device(function.address)?.group else {
            continue;
        };
        let Some(first) = seen.insert(group, index) else {
            continue;
        };
        // NVMe disks come after hostdevs, so a disk is the second of a pair.
        if function.nvme_disk().is_some() {
            let other = &functions[first];
            return Err(Error::SharedGroup {
                device: function.address,
                owner: function.owner_name(),
                group,
                other: other.address,
                other_owner: other.owner_name(),
            });
        }
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use passthru_host::Request;

    use super::*;
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

    fn hostdev(bus: u8) -> String {
        format!(
            "<hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='yes'/><source>\
             <address domain='0' bus='{bus}' slot='0' function='0'/></source></hostdev>"
        )
    }

    fn plan(root: &Path, devices: &str) -> StartPlan {
        let xml = format!(
            "<domain type='kvm'><name>vm</name><memory>1048576</memory><os><type arch='x86_64' \
             machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"
        );
        StartPlan::for_test(&xml, root, User::choose(None).unwrap())
    }

    /// Adds a device on `vfio-pci`, in a group, to a copy of a host.
    fn add_device(root: &Path, bus: u8, group: u32) {
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
        let devices = disk("vda", 5, "managed='yes'") + &disk("vdb", 6, "") + &hostdev(7);
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
    fn group_of_disk_and_hostdev_is_refused() {
        let root = tempfile::tempdir().unwrap();
        add_device(root.path(), 5, 12);
        add_device(root.path(), 7, 12);
        add_device(root.path(), 8, 13);
        let host = Host::at(root.path());
        let apart = plan(root.path(), &(disk("vda", 5, "") + &hostdev(8)));
        check_groups(&apart.domain, &host).unwrap();

        let shared = plan(root.path(), &(disk("vda", 5, "") + &hostdev(7)));
        let error = check_groups(&shared.domain, &host).unwrap_err().to_string();

        assert!(
            error.starts_with("disk 'vda' is on 0000:05:00.0 in IOMMU group 12, which has")
                && error.contains("0000:07:00.0 (hostdev 0000:07:00.0)"),
            "{error}"
        );
    }

    #[test]
    fn kernel_without_type1_is_refused_for_nvme_disks() {
        let root = tempfile::tempdir().unwrap();
        add_device(root.path(), 5, 12);
        fs::create_dir_all(root.path().join("sys/class/vfio-dev")).unwrap();
        let plan = plan(root.path(), &disk("vda", 5, ""));
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
