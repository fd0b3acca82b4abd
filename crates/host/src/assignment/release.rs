//! Devices that are given back by hand: that were taken until further notice, or by a guest that
//! crashed.

use passthru_pci::Address;

use crate::{Claim, Error, Host, UsageReport};

/// Devices that are claimed, and may go back to the host's drivers.
#[derive(Debug)]
#[must_use = "the devices stay where they are"]
pub struct PendingRelease {
    claims: Vec<Claim>,
    force: bool,
}

/// Results of giving devices back.
#[derive(Debug, Default)]
pub struct ReleaseResult {
    /// Devices that went back, each with the driver that it is on.
    pub done: Vec<(Address, Option<String>)>,
    /// Errors of those that did not.
    pub errors: Vec<Error>,
    /// Devices that were not touched after an interruption.
    pub untouched: Vec<Address>,
}

impl Host {
    /// Gives devices back, as [`claim_to_release`](Self::claim_to_release) and
    /// [`PendingRelease::give_back`] do. Returns the driver that each is on then.
    ///
    /// # Errors
    /// Those of both.
    pub fn release(&self, devices: &[Address], force: bool) -> Result<Vec<Option<String>>, Error> {
        let released = self.claim_to_release(devices, force)?.give_back(&|| false);
        match Error::several(released.errors) {
            Some(error) => Err(error),
            None => Ok(released
                .done
                .into_iter()
                .map(|(_, driver)| driver)
                .collect()),
        }
    }

    /// Claims devices that were taken until further notice, or by a guest that crashed, and looks
    /// at all of them. With `force`, processes that have a device open are no obstacle: the kernel
    /// asks them to let go, and waits. Virtual functions are no obstacle then either, and vanish.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Claimed`], [`Error::Held`], [`Error::UsageUnknown`] and
    /// [`Error::VirtualFunctions`]. All of them, and nothing has changed then.
    pub fn claim_to_release(
        &self,
        devices: &[Address],
        force: bool,
    ) -> Result<PendingRelease, Error> {
        let (mut claims, mut errors) = (Vec::new(), Vec::new());
        for address in devices {
            match self.claim_for_release(*address, force) {
                Ok(claim) => claims.push(claim),
                Err(error) => errors.push(error),
            }
        }
        match Error::several(errors) {
            Some(error) => Err(error),
            None => Ok(PendingRelease { claims, force }),
        }
    }

    fn claim_for_release(&self, address: Address, force: bool) -> Result<Claim, Error> {
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
        if holders.is_empty() && blind_spots.is_empty() {
            return Ok(claim);
        }
        if holders.is_empty() {
            return Err(Error::UsageUnknown {
                device: address,
                blind_spots,
            });
        }
        Err(Error::Held {
            device: address,
            holders,
        })
    }
}

impl PendingRelease {
    /// Gives the devices back, in their order, until interrupted: `interrupted` is asked before
    /// each. One that fails stops no other, and its record stays.
    pub fn give_back(self, interrupted: &dyn Fn() -> bool) -> ReleaseResult {
        let mut released = ReleaseResult::default();
        let mut claims = self.claims.into_iter();
        while let Some(claim) = claims.next() {
            if interrupted() {
                released.untouched.push(claim.device());
                released
                    .untouched
                    .extend(claims.by_ref().map(|claim| claim.device()));
            } else {
                match claim.release(self.force) {
                    Ok(driver) => released.done.push((claim.device(), driver)),
                    Err(error) => released.errors.push(error),
                }
            }
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;
    use std::cell::Cell;

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
        let asked = Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) > 0;
        let release = tree.host().claim_to_release(&devices, true).unwrap();
        let released = release.give_back(&interrupted);
        assert_eq!(released.done, [(devices[0], None)], "{:?}", released.errors);
        assert_eq!(released.untouched, [devices[1]]);
        assert!(released.errors.is_empty(), "{released:?}");
        assert_eq!(tree.host().owner(devices[1]), None);
    }

    #[test]
    fn all_devices_are_looked_at_before_the_first_is_touched() {
        let (tree, devices) = host();
        let claim = tree.host().claim(devices[1], None).unwrap();
        let error = tree.host().claim_to_release(&devices, true).unwrap_err();
        assert!(
            matches!(error, Error::Claimed { device, .. } if device == devices[1]),
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
