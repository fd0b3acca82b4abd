//! Assignments: the devices of one guest, or of one bind by hand, taken together or not at all.

use passthru_pci::Address;

use super::request::Request;
use crate::{Claim, Device, Error, Host, HostSurvey};

/// Devices that are claimed and on VFIO drivers. If the value is dropped, the devices are given
/// back.
#[derive(Debug)]
#[must_use = "the devices are given back when this is dropped"]
pub struct Assignment {
    host: Host,
    devices: Vec<AssignedDevice>,
}

#[derive(Debug)]
struct AssignedDevice {
    claim: Claim,
    /// Whether the device was bound by this assignment, so that it has to be given back.
    give_back: bool,
}

/// A device that did not go back, and the reason.
struct FailedReturn {
    device: Address,
    error: Error,
}

impl Host {
    /// Takes devices for a guest, or with `None` for a bind by hand.
    ///
    /// All devices are checked before the first one changes, and once more when all are claimed. If
    /// one device fails, those before it go back. The devices of one call leave their IOMMU group
    /// together. Disks are held exclusively from the claim until they leave their driver, so that
    /// nothing is mounted meanwhile.
    ///
    /// # Errors
    /// - The refusals of [`check`](Self::check).
    /// - The objections of [`check`](Self::check), unless `force` is set.
    /// - The errors of the changes.
    pub fn assign(
        &self,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
    ) -> Result<Assignment, Error> {
        self.assign_unless(requests, guest, force, &|| false)
    }

    /// Takes devices as [`assign`](Self::assign) does, unless interrupted.
    ///
    /// `interrupted` is called before and after each device. If it returns true, all devices go
    /// back.
    ///
    /// # Errors
    /// [`Error::Interrupted`], and those of [`assign`](Self::assign).
    pub fn assign_unless(
        &self,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Assignment, Error> {
        let mut assignment = Assignment {
            host: self.clone(),
            devices: Vec::new(),
        };
        if requests.is_empty() {
            check_interruption(interrupted)?;
            return Ok(assignment);
        }

        let survey = self.survey_excluding(&[], &[]);
        let objections = self.check_with_survey(&survey, requests)?;
        if !force && let Some(error) = Error::several(objections) {
            return Err(error);
        }
        match assignment.take(&survey, requests, guest, force, interrupted) {
            Ok(()) => Ok(assignment),
            Err(failure) => Err(assignment.undo(failure)),
        }
    }
}

fn check_interruption(interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
    if interrupted() {
        Err(Error::Interrupted)
    } else {
        Ok(())
    }
}

impl Assignment {
    fn take(
        &mut self,
        survey: &HostSurvey,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let mut disks = Vec::new();
        let mut drivers = Vec::new();
        for request in requests {
            let claim = self.host.claim(request.address, guest)?;
            self.devices.push(AssignedDevice {
                claim,
                give_back: false,
            });
            disks.push(survey.hold_disks(&self.host.device(request.address)?));
            drivers.push(self.host.change(request)?.map(|change| change.to));
        }

        for driver in drivers.iter().flatten() {
            self.host.load_driver(driver)?;
        }
        if !force {
            self.host.check_claimed(requests, &disks)?;
        }
        check_interruption(interrupted)?;
        for ((device, driver), disks) in self.devices.iter_mut().zip(drivers).zip(disks) {
            if let Some(driver) = driver {
                device.give_back = device.claim.bind(&driver, disks)?;
            }
            check_interruption(interrupted)?;
        }

        Ok(())
    }

    /// Returns the devices as they are now, in the order of the requests. An absent device is left
    /// out.
    pub fn devices(&self) -> Vec<Device> {
        let addresses = self.devices.iter().map(|device| device.claim.device());
        addresses
            .filter_map(|address| self.host.device(address).ok())
            .collect()
    }

    /// Gives the devices back, the last one first. No process may have them open any more.
    ///
    /// # Errors
    /// One error for each device that did not go back. Its record stays.
    pub fn give_back(mut self) -> Result<(), Vec<Error>> {
        let failures = self.return_devices();
        if failures.is_empty() {
            return Ok(());
        }
        Err(failures.into_iter().map(|failure| failure.error).collect())
    }

    /// Ends the claims, and leaves the devices on their VFIO drivers.
    pub fn keep(mut self) {
        self.devices.clear();
    }

    /// Gives all devices back after a failure. Returns the failure, joined with the devices that
    /// did not go back.
    fn undo(mut self, mut failure: Error) -> Error {
        for FailedReturn { device, error } in self.return_devices() {
            failure = Error::NotUndone {
                device,
                failure: failure.into(),
                source: error.into(),
            };
        }

        failure
    }

    /// Gives the devices back, the last one first. Returns the devices that did not go back.
    fn return_devices(&mut self) -> Vec<FailedReturn> {
        let mut failures = Vec::new();
        while let Some(AssignedDevice { claim, give_back }) = self.devices.pop() {
            if !give_back {
                continue;
            }
            if let Err(error) = claim.restore(false) {
                failures.push(FailedReturn {
                    device: claim.device(),
                    error,
                });
            }
        }

        failures
    }

    /// Returns whether a device goes back at the end.
    #[cfg(test)]
    pub(super) fn gives_back(&self, device: Address) -> bool {
        let mut devices = self.devices.iter();
        devices.any(|own| own.claim.device() == device && own.give_back)
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        for failure in self.return_devices() {
            tracing::error!(
                error = &failure.error as &dyn std::error::Error,
                "a device was not given back"
            );
        }
    }
}
