//! The release of devices by hand: of devices that were bound by hand, or that a crashed guest
//! left.

use passthru_pci::Address;

use crate::{Claim, Error, Host, UsageReport};

/// Devices that are claimed and ready to go back to their host drivers.
#[derive(Debug)]
#[must_use = "the devices stay where they are"]
pub struct PendingRelease {
    claims: Vec<Claim>,
    force: bool,
}

/// Result of a release of several devices.
#[derive(Debug, Default)]
pub struct ReleaseResult {
    /// Devices that went back, each with its driver.
    pub done: Vec<(Address, Option<String>)>,
    /// Errors of the devices that did not go back.
    pub errors: Vec<Error>,
    /// Devices that were not changed, because of an interruption.
    pub untouched: Vec<Address>,
}

impl Host {
    /// Claims devices and gives them back. Returns the driver of each device then.
    ///
    /// # Errors
    /// Those of [`claim_to_release`](Self::claim_to_release), and the errors of the devices that
    /// did not go back.
    pub fn release(&self, devices: &[Address], force: bool) -> Result<Vec<Option<String>>, Error> {
        let release = self.claim_to_release(devices, force)?;
        let result = release.give_back(&|| false);
        if let Some(error) = Error::several(result.errors) {
            return Err(error);
        }
        let drivers = result.done.into_iter().map(|(_, driver)| driver);
        Ok(drivers.collect())
    }

    /// Claims devices, and checks that all of them can go back.
    ///
    /// With `force`, neither virtual functions nor processes that have a device open are an
    /// obstacle. The virtual functions vanish, and the kernel asks the processes to close the
    /// device, and waits.
    ///
    /// # Errors
    /// The errors of all devices, and nothing has changed then:
    ///
    /// - [`Error::NotFound`], [`Error::Claimed`] or [`Error::HeldByVmm`].
    /// - [`Error::OpenInProcesses`] or [`Error::UsageUnknown`], unless `force` is set.
    /// - [`Error::VirtualFunctions`], unless `force` is set.
    pub fn claim_to_release(
        &self,
        devices: &[Address],
        force: bool,
    ) -> Result<PendingRelease, Error> {
        let mut claims = Vec::new();
        let mut errors = Vec::new();
        for address in devices {
            match self.claim_one_to_release(*address, force) {
                Ok(claim) => claims.push(claim),
                Err(error) => errors.push(error),
            }
        }

        match Error::several(errors) {
            Some(error) => Err(error),
            None => Ok(PendingRelease { claims, force }),
        }
    }

    fn claim_one_to_release(&self, address: Address, force: bool) -> Result<Claim, Error> {
        let device = self.device(address)?;
        let claim = self.claim(address, None)?;
        if force {
            return Ok(claim);
        }
        self.check_release(&device)?;
        let UsageReport {
            usages: holders,
            blind_spots,
        } = self.vfio_holders(&device);
        if !holders.is_empty() {
            return Err(Error::OpenInProcesses {
                device: address,
                holders,
            });
        }

        if !blind_spots.is_empty() {
            return Err(Error::UsageUnknown {
                device: address,
                blind_spots,
            });
        }

        Ok(claim)
    }
}

impl PendingRelease {
    /// Gives the devices back in order. A device that fails keeps its record and does not stop the
    /// others.
    ///
    /// `interrupted` is called before each device. Once it returns true, no further device changes.
    pub fn give_back(self, interrupted: &dyn Fn() -> bool) -> ReleaseResult {
        let mut result = ReleaseResult::default();
        let mut is_interrupted = false;
        for claim in self.claims {
            is_interrupted = is_interrupted || interrupted();
            if is_interrupted {
                result.untouched.push(claim.device());
                continue;
            }
            match claim.release(self.force) {
                Ok(driver) => result.done.push((claim.device(), driver)),
                Err(error) => result.errors.push(error),
            }
        }

        result
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::test_tree::Tree;

    /// Makes a host with two devices without a driver.
    fn host() -> (Tree, [Address; 2]) {
        let tree = Tree::new();
        let devices = ["0000:01:00.0", "0000:02:00.0"];
        for address in devices {
            tree.pci(address, 0x010802);
        }
        (tree, devices.map(|address| address.parse().unwrap()))
    }

    #[test]
    fn interruption_between_two_devices_leaves_the_second() {
        let (tree, devices) = host();
        let calls = Cell::new(0);
        let release = tree.host().claim_to_release(&devices, true).unwrap();
        let released = release.give_back(&|| calls.replace(calls.get() + 1) > 0);

        assert_eq!(released.done, [(devices[0], None)], "{:?}", released.errors);
        assert_eq!(released.untouched, [devices[1]]);
        assert!(released.errors.is_empty(), "{released:?}");
        assert_eq!(tree.host().owner(devices[1]), None);
    }

    #[test]
    fn all_devices_are_checked_before_the_first_changes() {
        let (tree, devices) = host();
        let claim = tree.host().claim(devices[1], None).unwrap();
        let error = tree.host().claim_to_release(&devices, true).unwrap_err();
        assert!(
            matches!(error, Error::Claimed { device, .. } if device == devices[1].into()),
            "{error}"
        );

        drop(claim);
        assert_eq!(tree.host().owner(devices[0]), None);

        let absent = "0000:03:00.0".parse().unwrap();
        let error = tree
            .host()
            .claim_to_release(&[devices[0], absent], true)
            .unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}
