//! The driver change of a request, computed before anything changes.

use super::request::Request;
use crate::record::FormerState;
use crate::{Error, Host};

/// The drivers of a device before, during and after an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverChange {
    /// Current driver.
    pub from: Option<String>,
    /// Driver during the assignment: the requested one, else [`Host::vfio_driver`].
    pub to: String,
    /// Driver after a guest gives the device back. If the device was taken before, this is the
    /// driver in the record.
    pub back: Option<String>,
}

impl Host {
    /// Returns the driver change of a request; `None` for an unmanaged device.
    ///
    /// Only the device and its record are read. [`check`](Self::check) decides whether the device
    /// can be taken at all.
    ///
    /// # Errors
    /// - [`Error::NotFound`], if there is no device.
    /// - [`Error::BadDriverName`], if the requested driver cannot be one.
    pub fn change(&self, request: &Request) -> Result<Option<DriverChange>, Error> {
        if !request.managed {
            return Ok(None);
        }
        let device = self.device(request.address)?;
        let to = match &request.driver {
            Some(driver) => {
                Self::check_driver_name(driver)?;
                driver.clone()
            }
            None => self.vfio_driver(&device),
        };
        // A record that cannot be read, such as without privileges, is an error only when the
        // device is taken.
        let identity = self.identity(request.address)?;
        let record = self.valid_record(&device, &identity).ok().flatten();
        let (former, _) = FormerState::before_taking(&device, record);
        Ok(Some(DriverChange {
            from: device.driver,
            to,
            back: former.driver,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn change(tree: &Tree, driver: Option<&str>) -> DriverChange {
        let request = Request {
            driver: driver.map(str::to_owned),
            ..Request::managed("01:00.0".parse().unwrap())
        };
        tree.host().change(&request).unwrap().unwrap()
    }

    fn drivers(from: &str, to: &str, back: &str) -> DriverChange {
        DriverChange {
            from: Some(from.into()),
            to: to.into(),
            back: Some(back.into()),
        }
    }

    fn host_with_device_on(driver: &str) -> Tree {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some(driver), 1);
        tree
    }

    /// Writes a record that the device was taken from `igb`.
    fn record(tree: &Tree, guest: Option<&str>) {
        let claim = tree
            .host()
            .claim("01:00.0".parse().unwrap(), guest)
            .unwrap();
        let former = FormerState {
            driver: Some("igb".into()),
            driver_override: None,
        };
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former))
            .unwrap();
    }

    #[test]
    fn managed_device_goes_to_vfio_and_back() {
        let tree = host_with_device_on("igb");
        assert_eq!(change(&tree, None), drivers("igb", "vfio-pci", "igb"));
        assert_eq!(
            change(&tree, Some("mlx5_vfio_pci")),
            drivers("igb", "mlx5_vfio_pci", "igb")
        );

        let unmanaged = Request::unmanaged("01:00.0".parse().unwrap());
        assert_eq!(tree.host().change(&unmanaged).unwrap(), None);
    }

    #[test]
    fn device_of_a_crashed_guest_goes_back_to_its_host_driver() {
        let tree = host_with_device_on("vfio-pci");
        record(&tree, Some("crashed"));
        assert_eq!(change(&tree, None), drivers("vfio-pci", "vfio-pci", "igb"));
    }

    #[test]
    fn device_bound_by_hand_goes_back_to_that_driver() {
        let tree = host_with_device_on("vfio-pci");
        record(&tree, None);
        assert_eq!(
            change(&tree, None),
            drivers("vfio-pci", "vfio-pci", "vfio-pci")
        );
        assert_eq!(
            change(&tree, Some("mlx5_vfio_pci")),
            drivers("vfio-pci", "mlx5_vfio_pci", "vfio-pci")
        );
    }
}
