//! Capabilities of the kernel for device assignment, found without opening a node in `/dev`.

use serde::Serialize;

use crate::{Error, Host, sysfs};

/// Capabilities of the kernel for device assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Whether there are IOMMU groups, which means that an IOMMU is on.
    pub iommu: bool,
    /// Whether the kernel has iommufd (`/dev/iommu`), or its module, loaded or not.
    pub iommufd: bool,
    /// Whether VFIO has character devices (`CONFIG_VFIO_DEVICE_CDEV`). `None` if VFIO is not
    /// loaded.
    pub vfio_cdev: Option<bool>,
}

impl Capabilities {
    /// Returns the first missing capability for iommufd: [`Error::NoIommu`], [`Error::NoIommufd`]
    /// or [`Error::NoCdev`], in this order.
    pub fn missing(&self) -> Option<Error> {
        match self {
            Self { iommu: false, .. } => Some(Error::NoIommu),
            Self { iommufd: false, .. } => Some(Error::NoIommufd),
            Self {
                vfio_cdev: Some(false),
                ..
            } => Some(Error::NoCdev),
            _ => None,
        }
    }
}

impl Host {
    /// Reads the capabilities of the kernel.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            iommu: self.has_groups(),
            iommufd: self.path("sys/class/misc/iommu").exists() || self.has_module("iommufd"),
            vfio_cdev: self.vfio_cdev(),
        }
    }

    /// Checks that the kernel offers iommufd, without loading a module. If only the modules are not
    /// loaded, the check passes.
    ///
    /// # Errors
    /// [`Error::NoIommufd`] or [`Error::NoCdev`]. A missing IOMMU is no error here: each device
    /// that needs one has its own.
    pub fn check_iommufd(&self) -> Result<(), Error> {
        match self.capabilities().missing() {
            None | Some(Error::NoIommu) => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Checks the capabilities for iommufd, after loading the modules of iommufd and VFIO.
    ///
    /// # Errors
    /// [`Error::NoIommu`], [`Error::NoIommufd`] or [`Error::NoCdev`], in this order.
    pub fn require_iommufd(&self) -> Result<(), Error> {
        for (class, module) in [("misc/iommu", "iommufd"), ("vfio-dev", "vfio")] {
            if !self.path("sys/class").join(class).exists() {
                let answer = self.modprobe(module);
                tracing::debug!(module, answer, "modprobe");
            }
        }

        let loaded = Capabilities {
            iommu: self.has_groups(),
            iommufd: self.path("sys/class/misc/iommu").exists(),
            vfio_cdev: Some(self.vfio_cdev().unwrap_or(false)),
        };
        match loaded.missing() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Returns whether VFIO has character devices; `None` if VFIO is not loaded.
    ///
    /// VFIO has a class in sysfs. A range of device numbers exists only with character devices.
    fn vfio_cdev(&self) -> Option<bool> {
        let devices = sysfs::read(self.path("proc/devices")).unwrap_or_default();
        let mut lines = devices.lines();
        let has_numbers = lines.any(|line| line.trim().ends_with(" vfio-dev"));
        let is_loaded = has_numbers || self.path("sys/class/vfio-dev").exists();
        is_loaded.then_some(has_numbers)
    }

    fn has_module(&self, name: &str) -> bool {
        let release = sysfs::read(self.path("proc/sys/kernel/osrelease")).unwrap_or_default();
        let list = self.path("lib/modules").join(release).join("modules.dep");
        let file = format!("/{name}.ko");
        sysfs::read(list).is_some_and(|list| list.contains(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn first_missing_capability_is_the_error() {
        let tree = Tree::new();
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoIommu)));

        tree.host().check_iommufd().unwrap();

        tree.dir("sys/kernel/iommu_groups/0");
        for checked in [tree.host().require_iommufd(), tree.host().check_iommufd()] {
            assert!(matches!(checked, Err(Error::NoIommufd)));
        }

        tree.dir("sys/class/misc/iommu");
        tree.host().check_iommufd().unwrap();
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoCdev)));

        tree.file(
            "proc/devices",
            "Character devices:\n 10 misc\n511 vfio-dev\n",
        );
        tree.host().require_iommufd().unwrap();
    }

    #[test]
    fn groups_made_by_vfio_are_not_an_iommu() {
        let tree = Tree::new();
        tree.file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
        assert!(!tree.host().capabilities().iommu);
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoIommu)));

        tree.dir("sys/kernel/iommu_groups/1");
        assert!(tree.host().capabilities().iommu);
    }

    #[test]
    fn module_that_is_not_loaded_counts() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/osrelease", "7.2.0\n");
        tree.file(
            "lib/modules/7.2.0/modules.dep",
            "kernel/drivers/iommu/iommufd/iommufd.ko.zst:\n",
        );
        let expected = Capabilities {
            iommu: false,
            iommufd: true,
            vfio_cdev: None,
        };

        assert_eq!(tree.host().capabilities(), expected);
    }
}
