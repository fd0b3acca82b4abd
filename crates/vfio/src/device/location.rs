//! [`Location`]: the place of a device in sysfs, and the nodes by which it can be opened.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::{fs, io};

use passthru_pci::{Address, NO_IOMMU_GROUP};
use rustix::fs::{FileType, Stat};

use crate::device::Error;

/// Place of a device in sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    sysfs: PathBuf,
}

/// Kind of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A PCI function.
    Pci(Address),
    /// A mediated device. Its parent's driver does the DMA, and pins pages only while it uses them.
    Mdev,
    /// A device on another bus, for example `platform` or `cdx`; empty if sysfs does not name the
    /// bus.
    Other(String),
}

impl Location {
    /// Takes a folder of sysfs, or a link to one.
    ///
    /// # Errors
    /// [`Error::NoDevice`], if the path does not exist.
    pub fn from_sysfs(path: &Path) -> Result<Self, Error> {
        let sysfs = path.canonicalize().map_err(|source| Error::NoDevice {
            path: path.into(),
            source,
        })?;
        Ok(Self { sysfs })
    }

    /// Finds the device that a character device belongs to, by the node's path.
    pub(super) fn from_cdev(path: &Path) -> Result<Self, Error> {
        let stat = rustix::fs::stat(path).map_err(|e| Error::Open {
            path: path.into(),
            source: e.into(),
        })?;
        Self::from_node(&stat)
    }

    /// Finds the device that an open character device belongs to.
    pub(super) fn from_fd(fd: impl AsFd) -> Result<Self, Error> {
        let stat = rustix::fs::fstat(fd).map_err(|e| Error::Descriptor { source: e.into() })?;
        Self::from_node(&stat)
    }

    /// Finds the device by the number of its node: `/sys/dev/char/MAJ:MIN` leads to
    /// `…/DEVICE/vfio-dev/vfioN`.
    fn from_node(stat: &Stat) -> Result<Self, Error> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
            return Err(Error::NotVfio {
                reason: "it is not a character device".into(),
            });
        }

        let major = rustix::fs::major(stat.st_rdev);
        let minor = rustix::fs::minor(stat.st_rdev);
        let link = PathBuf::from(format!("/sys/dev/char/{major}:{minor}"));
        let node = link
            .canonicalize()
            .map_err(|source| Error::Open { path: link, source })?;
        let class = node
            .parent()
            .filter(|p| p.file_name().is_some_and(|n| n == "vfio-dev"));
        let Some(device) = class.and_then(Path::parent) else {
            return Err(Error::NotVfio {
                reason: format!("it is {}", node.display()),
            });
        };
        let location = Self {
            sysfs: device.into(),
        };
        location.check_iommu(&node)?;
        Ok(location)
    }

    /// Refuses a device without an IOMMU by the name of its character device.
    ///
    /// Linux 7.3 calls such a node `noiommu-vfioN`. The name of the group does not decide, since
    /// groups of mediated devices are called `vfio-noiommu` too.
    pub(super) fn check_iommu(&self, node: &Path) -> Result<(), Error> {
        let name = node.file_name().unwrap_or_default().to_string_lossy();
        if passthru_pci::is_no_iommu_cdev(&name) {
            return Err(Error::NoIommu {
                sysfs: self.sysfs.clone(),
                node: name.into_owned(),
            });
        }

        Ok(())
    }

    /// Refuses a device without an IOMMU, before anything is opened.
    ///
    /// Looks at the name of its character device, and for a PCI function also at the name of its
    /// group. A PCI function is in a group `vfio-noiommu` only for lack of an IOMMU.
    pub(crate) fn require_iommu(&self) -> Result<(), Error> {
        for entry in fs::read_dir(self.sysfs.join("vfio-dev"))
            .into_iter()
            .flatten()
            .flatten()
        {
            self.check_iommu(Path::new(&entry.file_name()))?;
        }

        let name = fs::read_to_string(self.sysfs.join("iommu_group/name")).unwrap_or_default();
        if matches!(self.kind(), DeviceKind::Pci(_)) && name.trim() == NO_IOMMU_GROUP {
            let node = format!("noiommu-{}", self.group().unwrap_or_default());
            return Err(Error::NoIommu {
                sysfs: self.sysfs.clone(),
                node,
            });
        }

        Ok(())
    }

    /// Returns the device's folder, for example
    /// `/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0`.
    pub fn sysfs(&self) -> &Path {
        &self.sysfs
    }

    /// Returns the device's name, as `VFIO_GROUP_GET_DEVICE_FD` takes it: `0000:01:00.0`, or the
    /// UUID of a mediated device.
    pub fn name(&self) -> String {
        self.sysfs
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Returns the device's character device, `/dev/vfio/devices/vfioN` (`noiommu-vfioN` without an
    /// IOMMU).
    ///
    /// `None` if the device is not on a VFIO driver, or the kernel lacks `CONFIG_VFIO_DEVICE_CDEV`.
    pub fn cdev(&self) -> Option<PathBuf> {
        self.find_cdev().ok().flatten()
    }

    pub(super) fn find_cdev(&self) -> io::Result<Option<PathBuf>> {
        let name = passthru_pci::vfio_cdev(&self.sysfs)?;
        Ok(name.map(|name| Path::new("/dev/vfio/devices").join(name)))
    }

    /// Returns the number of the device's IOMMU group; `None` if it does not belong to one.
    pub fn group(&self) -> Option<u32> {
        target_name(&self.sysfs.join("iommu_group"))?.parse().ok()
    }

    /// Returns the driver that the device is bound to; `None` if it has none.
    pub fn driver(&self) -> Option<String> {
        target_name(&self.sysfs.join("driver"))
    }

    /// Returns the kind of the device.
    pub fn kind(&self) -> DeviceKind {
        match target_name(&self.sysfs.join("subsystem"))
            .unwrap_or_default()
            .as_str()
        {
            "mdev" => DeviceKind::Mdev,
            "pci" => match self.name().parse() {
                Ok(address) => DeviceKind::Pci(address),
                Err(_) => DeviceKind::Other("pci".into()),
            },
            other => DeviceKind::Other(other.into()),
        }
    }
}

/// Returns the last part of a link's target.
fn target_name(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Creates a folder like a device's in sysfs, on this bus.
    fn device(name: &str, bus: &str) -> (tempfile::TempDir, Location) {
        device_with_node(name, bus, "vfio7")
    }

    fn device_with_node(name: &str, bus: &str, node: &str) -> (tempfile::TempDir, Location) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(name);
        let node = folder.join("vfio-dev").join(node);
        fs::create_dir_all(&node).unwrap();
        fs::write(node.join("dev"), "511:7\n").unwrap();
        symlink(format!("../bus/{bus}"), folder.join("subsystem")).unwrap();
        symlink("../kernel/iommu_groups/12", folder.join("iommu_group")).unwrap();
        let location = Location::from_sysfs(&folder).unwrap();
        (root, location)
    }

    #[test]
    fn function_is_found_with_its_nodes() {
        let (_root, location) = device("0000:01:00.0", "pci");
        assert_eq!(
            location.kind(),
            DeviceKind::Pci("0000:01:00.0".parse().unwrap())
        );
        assert_eq!(
            location.cdev().unwrap(),
            Path::new("/dev/vfio/devices/vfio7")
        );
        assert_eq!((location.group(), location.driver()), (Some(12), None));
        assert_eq!(location.name(), "0000:01:00.0");
    }

    #[test]
    fn mediated_device_is_recognized() {
        let (_root, location) = device("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "mdev");
        assert_eq!(location.kind(), DeviceKind::Mdev);
    }

    #[test]
    fn device_without_iommu_is_refused_by_name_unopened() {
        let (_root, location) = device_with_node("0000:01:00.0", "pci", "noiommu-vfio7");
        let error = crate::device::Source::Sysfs(location.sysfs().into())
            .open()
            .unwrap_err();
        assert!(
            matches!(&error, Error::NoIommu { node, .. } if node == "noiommu-vfio7"),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .ends_with("0000:01:00.0 has no IOMMU (noiommu-vfio7)"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("turn the IOMMU on"));
    }

    #[test]
    fn function_in_a_group_without_iommu_is_refused() {
        for (name, bus, refused) in [("0000:01:00.0", "pci", true), ("83b8f4f2", "mdev", false)] {
            let (root, location) = device(name, bus);
            location.require_iommu().unwrap();
            let group = root.path().join("kernel/iommu_groups/12");
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("name"), "vfio-noiommu\n").unwrap();
            let result = location.require_iommu();
            assert_eq!(result.is_err(), refused, "{name}: {result:?}");
        }
    }

    #[test]
    fn node_without_iommu_is_refused() {
        let (_root, location) = device("0000:01:00.0", "pci");
        location
            .check_iommu(Path::new("/sys/devices/x/vfio-dev/vfio7"))
            .unwrap();
        let error = location
            .check_iommu(Path::new("/sys/devices/x/vfio-dev/noiommu-vfio7"))
            .unwrap_err();
        assert!(matches!(error, Error::NoIommu { .. }), "{error}");
    }
}
