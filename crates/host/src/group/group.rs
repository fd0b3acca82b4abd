//! The IOMMU groups in sysfs.

use passthru_pci::{Address, NO_IOMMU_GROUP};

use crate::{Host, sysfs};

impl Host {
    /// Lists the PCI devices of an IOMMU group.
    pub fn group(&self, number: u32) -> Vec<Address> {
        let names = sysfs::names(self.path(&format!("sys/kernel/iommu_groups/{number}/devices")));
        let mut members: Vec<Address> = names.iter().filter_map(|name| name.parse().ok()).collect();
        members.sort();
        members
    }

    /// Returns whether an IOMMU made groups. The groups that VFIO makes for devices without an
    /// IOMMU do not count.
    pub(crate) fn has_groups(&self) -> bool {
        let groups = self.path("sys/kernel/iommu_groups");
        sysfs::names(&groups).iter().any(|number| {
            let name = sysfs::read(groups.join(number).join("name"));
            name.as_deref() != Some(NO_IOMMU_GROUP)
        })
    }
}
