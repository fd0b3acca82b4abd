//! A mediated device, as sysfs describes it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::uuid::Uuid;
use crate::{Error, Host, Usage, UsageReport, sysfs};

/// A mediated device of the host, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MediatedDevice {
    /// Name of the device.
    pub uuid: Uuid,
    /// Name of the parent device in sysfs: a PCI address, `mtty`, `matrix` and so on.
    pub parent: Option<String>,
    /// Id of the type of which the device was made (`mdev_type`), such as `mtty-1`.
    pub mdev_type: Option<String>,
    /// Kind of device that a guest sees (`device_api`): `vfio-pci`, `vfio-ccw` or `vfio-ap`.
    pub device_api: Option<String>,
    /// Current driver: that of the parent's vendor, or `vfio_mdev` before Linux 5.13.
    pub driver: Option<String>,
    /// Number of the IOMMU group that VFIO made for the device; `None` without groups.
    pub group: Option<u32>,
    /// Name of the VFIO character device below `/dev/vfio/devices`.
    ///
    /// `None` if no driver has the device, or if the kernel lacks `CONFIG_VFIO_DEVICE_CDEV`.
    pub cdev: Option<String>,
}

impl MediatedDevice {
    /// Reads a mediated device. Returns `None` if it is absent.
    fn read(host: &Host, uuid: Uuid) -> Option<Self> {
        let dir = host.mdev_dir(uuid);
        let folder = fs::canonicalize(&dir).ok()?;
        let parent = folder.parent().and_then(Path::file_name);
        Some(Self {
            uuid,
            parent: parent.map(|name| name.to_string_lossy().into_owned()),
            mdev_type: sysfs::link_name(dir.join("mdev_type")),
            device_api: sysfs::read(dir.join("mdev_type/device_api")),
            driver: sysfs::link_name(dir.join("driver")),
            group: sysfs::link_name(dir.join("iommu_group")).and_then(|name| name.parse().ok()),
            cdev: passthru_pci::vfio_cdev(&dir).ok().flatten(),
        })
    }
}

impl Host {
    /// Lists the mediated devices by UUID. A device that vanishes meanwhile is left out.
    pub fn mediated_devices(&self) -> Vec<MediatedDevice> {
        let mut devices = Vec::new();
        for name in sysfs::names(self.path("sys/bus/mdev/devices")) {
            let uuid = name.parse().ok();
            devices.extend(uuid.and_then(|uuid| MediatedDevice::read(self, uuid)));
        }

        devices.sort_by_key(|device| device.uuid);
        devices
    }

    /// Reads one mediated device.
    ///
    /// # Errors
    /// [`Error::NoMediatedDevice`], if it is absent.
    pub fn mediated_device(&self, uuid: Uuid) -> Result<MediatedDevice, Error> {
        MediatedDevice::read(self, uuid).ok_or(Error::NoMediatedDevice { uuid })
    }

    /// Reports the guest that has a mediated device, and the processes that have the node of the
    /// device or of its group open. Makes a scan of all processes.
    pub fn mediated_device_usage(&self, device: &MediatedDevice) -> UsageReport {
        let mut report = self.mediated_device_holders(device);
        let owner = self.owner_of(device.uuid.into()).map(Usage::from);
        report.usages.splice(0..0, owner);
        report
    }

    /// Reports the processes that have the node of a mediated device or of its group open.
    pub(crate) fn mediated_device_holders(&self, device: &MediatedDevice) -> UsageReport {
        let dir = self.mdev_dir(device.uuid);
        self.holders_of(&dir, device.cdev.as_deref(), device.group)
    }

    fn mdev_dir(&self, uuid: Uuid) -> PathBuf {
        self.path("sys/bus/mdev/devices").join(uuid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

    /// Makes a serial port of the sample driver `mtty`.
    fn mtty() -> (Tree, String) {
        let tree = Tree::new();
        let parent = "sys/devices/virtual/mtty/mtty";
        let dir = format!("{parent}/{UUID}");
        let kind = format!("{parent}/mdev_supported_types/mtty-1");
        tree.file(&format!("{kind}/device_api"), "vfio-pci\n");
        tree.dir(&dir);
        for (name, target) in [
            ("mdev_type", "../mdev_supported_types/mtty-1"),
            ("driver", "../../../../../bus/mdev/drivers/mtty"),
            ("iommu_group", "../../../../../kernel/iommu_groups/14"),
        ] {
            tree.link(&format!("{dir}/{name}"), target);
        }

        tree.file(&format!("{dir}/vfio-dev/vfio2/dev"), "511:2\n");
        let link = format!("sys/bus/mdev/devices/{UUID}");
        tree.link(&link, &format!("../../../devices/virtual/mtty/mtty/{UUID}"));
        (tree, dir)
    }

    #[test]
    fn attributes_of_a_mediated_device_are_read() {
        let (tree, dir) = mtty();
        let uuid = UUID.parse().unwrap();
        let device = tree.host().mediated_device(uuid).unwrap();
        let expected = MediatedDevice {
            uuid,
            parent: Some("mtty".into()),
            mdev_type: Some("mtty-1".into()),
            device_api: Some("vfio-pci".into()),
            driver: Some("mtty".into()),
            group: Some(14),
            cdev: Some("vfio2".into()),
        };

        assert_eq!(device, expected);

        tree.dir("sys/bus/mdev/devices/unnamed");
        assert_eq!(tree.host().mediated_devices(), [device]);

        std::fs::remove_dir_all(tree.path(&dir)).unwrap();
        let error = tree.host().mediated_device(uuid).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{UUID}: no such mediated device")
        );
        assert!(tree.host().mediated_devices().is_empty());
    }

    #[test]
    fn process_with_a_node_of_a_mediated_device_is_a_holder() {
        let (tree, _) = mtty();
        tree.file("sys/class/vfio/14/dev", "510:0\n");
        for (pid, node, number) in [
            (100, "/dev/vfio/devices/vfio2", "char 511:2"),
            (101, "/dev/vfio/14", "char 510:0"),
            (102, "/dev/vfio/15", "char 510:1"),
        ] {
            tree.file(&node[1..], number);
            tree.file(&format!("proc/{pid}/comm"), "qemu\n");
            tree.link(&format!("proc/{pid}/fd/7"), node);
        }

        let host = tree.host();
        let device = host.mediated_devices().remove(0);
        let mut holders = Vec::new();
        for usage in host.mediated_device_usage(&device).usages {
            if let Usage::Process { pid, node, .. } = usage {
                holders.push((pid, node));
            }
        }

        assert_eq!(
            holders,
            [
                (100, "/dev/vfio/devices/vfio2".to_owned()),
                (101, "/dev/vfio/14".to_owned())
            ]
        );
    }
}
