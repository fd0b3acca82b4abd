//! Checks for the virtual functions of a device.
//!
//! A driver disables SR-IOV when it releases its device, so that the virtual functions vanish, also
//! those that other guests have.

use passthru_pci::Address;

use super::plan::stays_on_driver;
use super::virtual_function::VirtualFunction;
use crate::record::FormerState;
use crate::{Device, Error, Host, Sriov, sysfs};

impl Host {
    /// Lists the virtual functions of a device.
    pub fn virtual_functions(&self, device: Address) -> Vec<VirtualFunction> {
        let dir = self.pci(device);
        let mut addresses: Vec<Address> = Vec::new();
        for name in sysfs::names(&dir) {
            if name.starts_with("virtfn") {
                let target = sysfs::link_name(dir.join(name));
                addresses.extend(target.and_then(|name| name.parse::<Address>().ok()));
            }
        }

        addresses.sort();
        addresses
            .into_iter()
            .map(|address| VirtualFunction {
                address,
                driver: sysfs::link_name(self.pci(address).join("driver")),
                owner: self.owner(address),
            })
            .collect()
    }

    /// Checks that no virtual functions vanish when a device goes back to `former`.
    ///
    /// # Errors
    /// [`Error::VirtualFunctions`], if some would vanish.
    pub(crate) fn check_virtual_functions(
        &self,
        device: &Device,
        former: Option<&FormerState>,
    ) -> Result<(), Error> {
        if stays_on_driver(device, former) {
            return Ok(());
        }
        let Some(Sriov::Physical {
            enabled: count @ 1..,
            ..
        }) = device.sriov
        else {
            return Ok(());
        };
        Err(Error::VirtualFunctions {
            device: device.address,
            driver: device.driver.clone(),
            count,
            functions: self.virtual_functions(device.address),
        })
    }

    /// Checks that no virtual functions vanish when a device is released to its state before it was
    /// first taken.
    ///
    /// # Errors
    /// [`Error::VirtualFunctions`], if some would vanish.
    pub(crate) fn check_release(&self, device: &Device) -> Result<(), Error> {
        let record = self.valid_record(device, &self.identity(device.address)?)?;
        let former = record.map(|record| record.without_earlier().former);
        if former.is_none() && !device.on_vfio() {
            return Ok(());
        }
        self.check_virtual_functions(device, former.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::test_tree::Tree;

    fn physical() -> Address {
        "0000:02:00.0".parse().unwrap()
    }

    /// Makes a card on `vfio-pci` that came from `igb`. Its two virtual functions were enabled
    /// after it was taken.
    fn card(guest: Option<&str>) -> Tree {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        let dir = tree.pci("0000:02:00.0", 0x020000);
        tree.place("0000:02:00.0", Some("vfio-pci"), 2);
        tree.file(&format!("{dir}/sriov_totalvfs"), "7\n");
        tree.file(&format!("{dir}/sriov_numvfs"), "2\n");
        for (index, function) in ["0000:02:10.0", "0000:02:10.2"].iter().enumerate() {
            tree.pci(function, 0x020000);
            tree.link(&format!("{dir}/virtfn{index}"), &format!("../{function}"));
        }

        tree.place("0000:02:10.0", Some("vfio-pci"), 3);
        for file in ["vfio-pci/unbind", "igb/bind"] {
            tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
        }
        let former = FormerState {
            driver: Some("igb".into()),
            driver_override: None,
        };
        let claim = tree.host().claim(physical(), guest).unwrap();
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former))
            .unwrap();
        tree
    }

    fn is_moved(tree: &Tree) -> bool {
        let unbind = tree.path("sys/bus/pci/drivers/vfio-pci/unbind");
        !std::fs::read_to_string(unbind).unwrap().is_empty()
    }

    #[test]
    fn device_with_virtual_functions_is_not_released() {
        let tree = card(None);
        let function = "0000:02:10.0".parse().unwrap();
        let _claim = tree.host().claim(function, Some("web")).unwrap();
        let error = tree.host().release(&[physical()], false).unwrap_err();
        let pid = std::process::id();
        let expected = format!(
            "0000:02:00.0 stays on vfio-pci: its 2 virtual functions would vanish: \
             0000:02:10.0 (guest web (pid {pid})), 0000:02:10.2"
        );

        assert_eq!(error.to_string(), expected);

        assert!(!is_moved(&tree));
        assert!(tree.host().record(physical()).unwrap().is_some());
    }

    #[test]
    fn device_with_virtual_functions_is_released_by_force() {
        let tree = card(None);
        // Writes to the files of a tree move nothing.
        let error = tree.host().release(&[physical()], true).unwrap_err();
        assert!(matches!(error, Error::WrongDriver { .. }), "{error}");
        assert!(is_moved(&tree));
    }

    #[test]
    fn device_with_virtual_functions_stays_after_its_guest() {
        let tree = card(Some("router"));
        let sriov = tree.path("sys/devices/pci/0000:02:00.0/sriov_numvfs");
        std::fs::write(&sriov, "0\n").unwrap();
        let requests = [Request::managed(physical())];
        let assignment = tree
            .host()
            .assign(&requests, Some("router"), false)
            .unwrap();
        std::fs::write(&sriov, "2\n").unwrap();
        let errors = assignment.give_back().unwrap_err();

        assert!(
            matches!(&errors[..], [Error::VirtualFunctions { count: 2, .. }]),
            "{errors:?}"
        );
        assert!(!is_moved(&tree));

        let left = tree.host().leftovers().unwrap();
        assert_eq!(left[0].to_string(), "left by guest router");
    }

    #[test]
    fn device_with_virtual_functions_is_not_taken() {
        let tree = card(None);
        let error = tree
            .host()
            .assign(&[Request::managed(physical())], None, false)
            .unwrap_err();
        assert!(error.to_string().contains("2 virtual functions"), "{error}");
    }

    #[test]
    fn device_on_its_host_driver_needs_no_release() {
        let tree = card(None);
        tree.host().remove_record(physical()).unwrap();
        let driver = "sys/devices/pci/0000:02:00.0/driver";
        std::fs::remove_file(tree.path(driver)).unwrap();
        tree.link(driver, "../../../bus/pci/drivers/igb");
        let drivers = tree.host().release(&[physical()], false).unwrap();

        assert_eq!(drivers, [Some("igb".to_owned())]);
    }
}
