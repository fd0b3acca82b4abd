//! [`Blocker`]: a device that keeps its IOMMU group from being viable.

use std::fs;
use std::path::{Path, PathBuf};

use crate::device::Location;

/// A device on a driver of the host, which keeps its IOMMU group from being viable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Name of the device in sysfs, for example `0000:01:00.0`.
    pub device: String,
    /// Driver that the device is bound to.
    pub driver: String,
}

/// Lists the devices that keep a group from being viable.
pub(super) fn blockers_of(group: u32) -> Vec<Blocker> {
    blockers(&PathBuf::from(format!(
        "/sys/kernel/iommu_groups/{group}/devices"
    )))
}

/// Lists the devices of a group whose drivers keep the group from being viable. A device on a VFIO
/// driver of another bus is known by its folder `vfio-dev`, which Linux has since 6.1.
fn blockers(devices: &Path) -> Vec<Blocker> {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    let mut blockers: Vec<_> = entries.filter_map(|entry| blocker(&entry.path())).collect();
    blockers.sort_by(|a, b| a.device.cmp(&b.device));
    blockers
}

fn blocker(device: &Path) -> Option<Blocker> {
    let location = Location::from_sysfs(device).ok()?;
    let driver = location.driver()?;
    let is_harmless = location.cdev().is_some() || passthru_pci::leaves_group_viable(&driver);
    (!is_harmless).then(|| Blocker {
        device: location.name(),
        driver,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn devices_on_host_drivers_are_blockers() {
        let root = tempfile::tempdir().unwrap();
        // Linux before 6.1 has no folder `vfio-dev`, as here for the device `d`.
        for (device, driver) in [
            ("a", "vfio-pci"),
            ("b", "e1000"),
            ("c", "pcieport"),
            ("d", "vfio-pci"),
        ] {
            fs::create_dir(root.path().join(device)).unwrap();
            symlink(
                format!("../drivers/{driver}"),
                root.path().join(device).join("driver"),
            )
            .unwrap();
        }

        fs::create_dir_all(root.path().join("a/vfio-dev/vfio0")).unwrap();
        fs::write(root.path().join("a/vfio-dev/vfio0/dev"), "511:0\n").unwrap();
        fs::create_dir(root.path().join("without")).unwrap();

        assert_eq!(
            blockers(root.path()),
            [Blocker {
                device: "b".into(),
                driver: "e1000".into()
            }]
        );
    }
}
