//! IOMMU groups: devices that the IOMMU cannot tell apart, and that can leave the host only
//! together.

use std::fmt;

use passthru_pci::Address;
use serde::Serialize;

use crate::{Device, Error, Host, HostSurvey, Usage, abridge, sysfs};

/// Name of the groups that VFIO makes where there is no IOMMU.
pub(crate) const NO_IOMMU_GROUP: &str = "vfio-noiommu";

/// A device that keeps its IOMMU group from leaving the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Companion {
    /// Where it is.
    pub address: Address,
    /// What it is, as far as it has a name.
    pub name: Option<String>,
    /// The host's driver that holds it.
    pub driver: Option<String>,
    /// What it does for the host, or for another guest.
    #[serde(rename = "uses")]
    pub usages: Vec<Usage>,
}

impl Host {
    /// Lists the PCI devices of an IOMMU group.
    pub fn group(&self, number: u32) -> Vec<Address> {
        let names = sysfs::names(self.path(&format!("sys/kernel/iommu_groups/{number}/devices")));
        let mut members: Vec<Address> = names.iter().filter_map(|name| name.parse().ok()).collect();
        members.sort();
        members
    }

    /// Checks that a device's IOMMU group could be handed out, by the kernel's rule: each companion
    /// has no driver, or one that does no DMA for the host (VFIO drivers, `pci-stub`, `pcieport`).
    /// Devices in `taken` leave together with it and are fine, and so are no others that a guest
    /// already has.
    ///
    /// # Errors
    /// [`Error::NotViable`] with those in the way, [`Error::NoGroup`].
    pub fn check_group(
        &self,
        device: &Device,
        taken: &[Address],
        survey: &HostSurvey,
    ) -> Result<(), Error> {
        let no_group = || Error::NoGroup {
            device: device.address,
            others_have: self.has_groups(),
        };
        let group = device.group.ok_or_else(no_group)?;
        let members = self.group(group).into_iter();
        let companions: Vec<Companion> = members
            .filter(|address| *address != device.address && !taken.contains(address))
            .filter_map(|address| self.device(address).ok())
            .filter_map(|companion| in_the_way(self, &companion, survey))
            .collect();
        if companions.is_empty() {
            return Ok(());
        }
        Err(Error::NotViable {
            device: device.address,
            group,
            companions,
        })
    }

    /// Says whether an IOMMU made groups. VFIO makes some of its own for devices without one.
    pub(crate) fn has_groups(&self) -> bool {
        let groups = self.path("sys/kernel/iommu_groups");
        let name = |number: String| sysfs::read(groups.join(number).join("name"));
        sysfs::names(&groups)
            .into_iter()
            .any(|number| name(number).as_deref() != Some(NO_IOMMU_GROUP))
    }
}

impl fmt::Display for Companion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        write!(
            f,
            ", which is on {}",
            self.driver.as_deref().unwrap_or("no driver")
        )?;
        if !self.usages.is_empty() {
            write!(f, " and has {}", abridge(&self.usages, ", "))?;
        }
        Ok(())
    }
}

fn in_the_way(host: &Host, device: &Device, survey: &HostSurvey) -> Option<Companion> {
    let usages = survey.report(device).usages;
    let with_a_guest = usages
        .iter()
        .any(|usage| matches!(usage, Usage::Guest { .. }));
    if leaves_viable(device) && !with_a_guest {
        return None;
    }
    let names = host.names();
    let name = names
        .device(device)
        .or(names.class(device))
        .map(str::to_owned);
    Some(Companion {
        address: device.address,
        name,
        driver: device.driver.clone(),
        usages,
    })
}

/// Returns whether a device leaves its group viable by the driver that it is on.
fn leaves_viable(device: &Device) -> bool {
    let driver = device.driver.as_deref();
    device.on_vfio() || driver.is_none_or(passthru_pci::leaves_group_viable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    /// 01:00.0 to 01:00.3 in one group, on the drivers given.
    fn shared(drivers: &[Option<&str>]) -> (Tree, Vec<Device>) {
        let tree = Tree::new();
        for (function, driver) in drivers.iter().enumerate() {
            let address = format!("0000:01:00.{function}");
            tree.pci(&address, 0x020000);
            tree.place(&address, *driver, 7);
        }
        let devices = tree.host().devices();
        (tree, devices)
    }

    fn check(tree: &Tree, device: &Device, taken: &[Address]) -> Result<(), Error> {
        tree.host()
            .check_group(device, taken, &tree.host().survey())
    }

    #[test]
    fn companions_that_do_no_dma_for_the_host_are_fine() {
        let (tree, devices) = shared(&[
            Some("nvme"),
            None,
            Some("mlx5_vfio_pci"),
            Some("pci-stub"),
            Some("pcieport"),
        ]);
        check(&tree, &devices[0], &[]).unwrap();
    }

    #[test]
    fn hotplug_driver_of_a_bridge_is_in_the_way() {
        let (tree, devices) = shared(&[None, Some("shpchp")]);
        let error = check(&tree, &devices[0], &[]).unwrap_err();
        assert!(error.to_string().ends_with("on shpchp"), "{error}");
    }

    #[test]
    fn a_companion_on_a_host_driver_is_named() {
        let (tree, devices) = shared(&[None, Some("e1000e"), None]);
        let error = check(&tree, &devices[0], &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("group 7 with 0000:01:00.1 (Ethernet controller), which is on e1000e"),
            "{text}"
        );
        assert!(error.hint().unwrap().contains("bind 0000:01:00.1 too"));
    }

    #[test]
    fn a_companion_taken_in_the_same_call_is_fine() {
        let (tree, devices) = shared(&[None, Some("e1000e")]);
        check(&tree, &devices[0], &[devices[1].address]).unwrap();
    }

    #[test]
    fn a_companion_that_a_guest_has_is_in_the_way() {
        let (tree, devices) = shared(&[None, Some("vfio-pci")]);
        let _claim = tree
            .host()
            .claim(devices[1].address, Some("other"))
            .unwrap();
        let Err(Error::NotViable { companions, .. }) = check(&tree, &devices[0], &[]) else {
            panic!()
        };
        let pid = std::process::id();
        assert_eq!(
            companions[0].usages,
            [Usage::Guest {
                name: "other".into(),
                pid
            }]
        );
    }

    #[test]
    fn no_group_says_whether_the_host_has_any() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        let device = tree.host().devices().remove(0);
        let Err(Error::NoGroup { others_have, .. }) = check(&tree, &device, &[]) else {
            panic!()
        };
        assert!(!others_have);
    }
}
