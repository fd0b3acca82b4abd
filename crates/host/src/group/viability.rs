//! The viability of IOMMU groups.

use passthru_pci::Address;

use crate::{Companion, Device, Error, Host, HostSurvey, Usage};

impl Host {
    /// Checks that the IOMMU group of a device is viable, so that the device can be handed out.
    ///
    /// Each other device of the group must have no driver, or a driver for which
    /// [`passthru_pci::leaves_group_viable`] returns true. And it must not belong to a guest.
    /// Devices in `taken` leave the host in the same call and do not count.
    ///
    /// # Errors
    /// - [`Error::NotViable`] with the devices in the way.
    /// - [`Error::NoGroup`], if the device has no group.
    pub fn check_group(
        &self,
        device: &Device,
        taken: &[Address],
        survey: &HostSurvey,
    ) -> Result<(), Error> {
        let Some(group) = device.group else {
            return Err(Error::NoGroup {
                device: device.address,
                others_have: self.has_groups(),
            });
        };
        let mut companions = Vec::new();
        for address in self.group(group) {
            if address == device.address || taken.contains(&address) {
                continue;
            }
            if let Ok(member) = self.device(address) {
                companions.extend(companion(self, &member, survey));
            }
        }

        if companions.is_empty() {
            return Ok(());
        }
        Err(Error::NotViable {
            device: device.address,
            group,
            companions,
        })
    }
}

/// Describes a device that is in the way; `None` if the device leaves its group viable.
fn companion(host: &Host, device: &Device, survey: &HostSurvey) -> Option<Companion> {
    let usages = survey.report(device).usages;
    let is_of_guest = usages
        .iter()
        .any(|usage| matches!(usage, Usage::Guest { .. }));
    if leaves_viable(device) && !is_of_guest {
        return None;
    }
    let names = host.names();
    let name = names.device(device).or(names.class(device));
    Some(Companion {
        address: device.address,
        name: name.map(str::to_owned),
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

    /// Makes a host with the functions of 01:00 in one group, each on the given driver.
    fn shared_group(drivers: &[Option<&str>]) -> (Tree, Vec<Device>) {
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
    fn companions_on_harmless_drivers_leave_a_group_viable() {
        let (tree, devices) = shared_group(&[
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
        let (tree, devices) = shared_group(&[None, Some("shpchp")]);
        let error = check(&tree, &devices[0], &[]).unwrap_err();
        assert!(error.to_string().ends_with("on shpchp"), "{error}");
    }

    #[test]
    fn companion_on_a_host_driver_is_named() {
        let (tree, devices) = shared_group(&[None, Some("e1000e"), None]);
        let error = check(&tree, &devices[0], &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("group 7 with 0000:01:00.1 (Ethernet controller), which is on e1000e"),
            "{text}"
        );
    }

    #[test]
    fn companion_taken_in_the_same_call_does_not_count() {
        let (tree, devices) = shared_group(&[None, Some("e1000e")]);
        check(&tree, &devices[0], &[devices[1].address]).unwrap();
    }

    #[test]
    fn companion_of_a_guest_is_in_the_way() {
        let (tree, devices) = shared_group(&[None, Some("vfio-pci")]);
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
                name: Some("other".into()),
                pid
            }]
        );
    }

    #[test]
    fn missing_group_error_knows_if_the_host_has_groups() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        let device = tree.host().devices().remove(0);
        let Err(Error::NoGroup { others_have, .. }) = check(&tree, &device, &[]) else {
            panic!()
        };

        assert!(!others_have);
    }
}
