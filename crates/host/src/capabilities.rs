//! What the kernel offers for device assignment, as far as it shows without opening a node of /dev.

use serde::Serialize;

use crate::{Error, Host, sysfs};

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// There are IOMMU groups: an IOMMU is there and on.
    pub iommu: bool,
    /// iommufd is there (`/dev/iommu`), or is a module that has not been loaded.
    pub iommufd: bool,
    /// VFIO has character devices (`CONFIG_VFIO_DEVICE_CDEV`). `None` as long as VFIO is not
    /// loaded.
    pub vfio_cdev: Option<bool>,
}

impl Capabilities {
    /// Says what is in the way of assigning devices through iommufd: [`Error::NoIommu`],
    /// [`Error::NoIommufd`] or [`Error::NoCdev`], in this order.
    pub fn lack(&self) -> Option<Error> {
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
    /// Looks at what the kernel offers.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            iommu: self.has_groups(),
            iommufd: self.path("sys/class/misc/iommu").exists() || self.has_module("iommufd"),
            vfio_cdev: self.vfio_cdev(),
        }
    }

    /// Loads the modules of iommufd and VFIO where they are missing, and checks that they are
    /// there.
    ///
    /// # Errors
    /// [`Error::NoIommu`], [`Error::NoIommufd`], [`Error::NoCdev`], in this order.
    pub fn require_iommufd(&self) -> Result<(), Error> {
        for (class, module) in [("misc/iommu", "iommufd"), ("vfio-dev", "vfio")] {
            if !self.path("sys/class").join(class).exists() {
                let answer = self.modprobe(module);
                tracing::debug!(module, answer, "modprobe");
            }
        }
        let iommufd = self.path("sys/class/misc/iommu").exists();
        let vfio_cdev = Some(self.vfio_cdev().unwrap_or(false));
        match (Capabilities {
            iommu: self.has_groups(),
            iommufd,
            vfio_cdev,
        })
        .lack()
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The class comes with VFIO; the range of device numbers only with its character devices.
    fn vfio_cdev(&self) -> Option<bool> {
        let devices = sysfs::read(self.path("proc/devices")).unwrap_or_default();
        let numbered = devices
            .lines()
            .any(|line| line.trim().ends_with(" vfio-dev"));
        (numbered || self.path("sys/class/vfio-dev").exists()).then_some(numbered)
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
    fn says_what_is_missing_first() {
        let tree = Tree::new();
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoIommu)));
        tree.dir("sys/kernel/iommu_groups/0");
        assert!(matches!(
            tree.host().require_iommufd(),
            Err(Error::NoIommufd)
        ));
        tree.dir("sys/class/misc/iommu");
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoCdev)));
        tree.file(
            "proc/devices",
            "Character devices:\n 10 misc\n511 vfio-dev\n",
        );
        tree.host().require_iommufd().unwrap();
    }

    #[test]
    fn groups_that_vfio_made_itself_are_not_an_iommu() {
        let tree = Tree::new();
        tree.file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
        assert!(!tree.host().capabilities().iommu);
        assert!(matches!(tree.host().require_iommufd(), Err(Error::NoIommu)));
        tree.dir("sys/kernel/iommu_groups/1");
        assert!(tree.host().capabilities().iommu);
    }

    #[test]
    fn a_module_that_is_not_loaded_counts_as_there() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/osrelease", "7.2.0\n");
        tree.file(
            "lib/modules/7.2.0/modules.dep",
            "kernel/drivers/iommu/iommufd/iommufd.ko.zst:\n",
        );
        let found = tree.host().capabilities();
        assert_eq!(
            (found.iommu, found.iommufd, found.vfio_cdev),
            (false, true, None)
        );
    }
}
