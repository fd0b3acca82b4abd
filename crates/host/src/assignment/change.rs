//! What taking a device does to it, told before anything is touched.

use crate::record::FormerState;
use crate::{Error, Host, Request};

/// The drivers of a device that is taken and given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverChange {
    /// The one that it has now.
    pub from: Option<String>,
    /// The one that it gets: the one asked for, else [`Host::vfio_driver`].
    pub to: String,
    /// The one that it goes back to when a guest gives it back, by its record where it was taken
    /// before.
    pub back: Option<String>,
}

impl Host {
    /// Returns what a request changes: nothing for a device that is not managed. Looks at nothing
    /// else than the device and its record; whether it can be had at all is for
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::BadDriverName`].
    pub fn change(&self, request: &Request) -> Result<Option<DriverChange>, Error> {
        if !request.managed {
            return Ok(None);
        }
        let device = self.device(request.address)?;
        let to = match &request.driver {
            Some(driver) => Self::check_driver_name(driver).map(|()| driver.clone())?,
            None => self.vfio_driver(&device),
        };
        // A record that cannot be read (without privileges, say) stands in the way only when the
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
        let request = Request::managed("01:00.0".parse().unwrap());
        let request = Request {
            driver: driver.map(str::to_owned),
            ..request
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

    fn on(driver: &str) -> Tree {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some(driver), 1);
        tree
    }

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
    fn a_managed_device_goes_to_vfio_and_back_to_where_it_was() {
        let tree = on("igb");
        assert_eq!(change(&tree, None), drivers("igb", "vfio-pci", "igb"));
        assert_eq!(
            change(&tree, Some("mlx5_vfio_pci")),
            drivers("igb", "mlx5_vfio_pci", "igb")
        );
        let unmanaged = Request::unmanaged("01:00.0".parse().unwrap());
        assert_eq!(tree.host().change(&unmanaged).unwrap(), None);
    }

    #[test]
    fn what_a_crashed_guest_left_goes_back_to_the_driver_of_the_host() {
        let tree = on("vfio-pci");
        record(&tree, Some("crashed"));
        assert_eq!(change(&tree, None), drivers("vfio-pci", "vfio-pci", "igb"));
    }

    #[test]
    fn what_was_bound_by_hand_goes_back_to_that() {
        let tree = on("vfio-pci");
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
