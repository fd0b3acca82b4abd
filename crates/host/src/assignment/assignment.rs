//! Assignments: the devices of one guest, or of one bind by hand, taken together or not at all.

use passthru_pci::Address;

use super::request::Request;
use crate::record::Record;
use crate::usage::HeldDisks;
use crate::{Claim, Device, Error, Host, HostSurvey, ProcessId};

/// Devices that are claimed and on VFIO drivers. If the value is dropped, the devices are given
/// back.
///
/// [`Host::assign`] takes all devices at once. A caller that takes them one by one calls, after
/// [`Host::begin_assignment`], first [`claim`](Self::claim) for each device, and then
/// [`bind`](Self::bind) for each managed one.
#[derive(Debug)]
#[must_use = "the devices are given back when this is dropped"]
pub struct Assignment {
    host: Host,
    guest: Option<String>,
    requests: Vec<Request>,
    force: bool,
    /// Survey that was made before the first claim. The first bind ends it.
    survey: Option<HostSurvey>,
    devices: Vec<AssignedDevice>,
}

#[derive(Debug)]
struct AssignedDevice {
    claim: Claim,
    /// Disks of the device, held from the claim to the bind.
    disks: HeldDisks,
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
        let mut assignment = self.begin_assignment(requests, guest, force)?;
        match assignment.take_all(interrupted) {
            Ok(()) => Ok(assignment),
            Err(failure) => Err(assignment.undo(failure)),
        }
    }

    /// Claims the devices that the VMM of a guest has, for the successor of the guest's manager. A
    /// drop gives back those that the former manager took.
    ///
    /// # Errors
    /// Those of [`claim_again`](Self::claim_again), for a device that the VMM has. The devices stay
    /// as they are.
    pub fn assign_again(
        &self,
        devices: &[Address],
        guest: &str,
        vmm: &ProcessId,
    ) -> Result<Assignment, Error> {
        let mut again = Vec::new();
        for device in devices {
            let claim = match self.claim_again(*device, guest, vmm) {
                // The manager died before it handed the device over, or after it took it back.
                Err(Error::NotHandedOver { .. }) => self.claim(*device, Some(guest))?,
                claimed => claimed?,
            };
            let record = self.record(*device)?.and_then(Record::without_note);
            again.push(AssignedDevice {
                claim,
                disks: HeldDisks::default(),
                give_back: record.is_some_and(|record| record.is_of(guest)),
            });
        }

        Ok(Assignment {
            host: self.clone(),
            guest: Some(guest.to_owned()),
            requests: Vec::new(),
            force: false,
            survey: None,
            devices: again,
        })
    }

    /// Checks devices for an assignment, and takes none yet.
    ///
    /// # Errors
    /// - The refusals of [`check`](Self::check).
    /// - The objections of [`check`](Self::check), unless `force` is set.
    pub fn begin_assignment(
        &self,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
    ) -> Result<Assignment, Error> {
        let mut assignment = Assignment {
            host: self.clone(),
            guest: guest.map(str::to_owned),
            requests: requests.to_vec(),
            force,
            survey: None,
            devices: Vec::new(),
        };
        if requests.is_empty() {
            return Ok(assignment);
        }

        let survey = self.survey_excluding(&[], &[]);
        let objections = self.check_with_survey(&survey, requests)?;
        if !force && let Some(error) = Error::several(objections) {
            return Err(error);
        }
        assignment.survey = Some(survey);
        Ok(assignment)
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
    fn take_all(&mut self, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut drivers = Vec::new();
        for request in self.requests.clone() {
            self.claim(request.address)?;
            drivers.push(self.host.change(&request)?.map(|change| change.to));
        }

        for driver in drivers.iter().flatten() {
            self.host.load_driver(driver)?;
        }
        self.recheck()?;
        check_interruption(interrupted)?;
        for (request, driver) in self.requests.clone().iter().zip(drivers) {
            if let Some(driver) = driver {
                self.bind(request.address, &driver)?;
            }
            check_interruption(interrupted)?;
        }

        Ok(())
    }

    /// Claims a device, and holds its disks exclusively. If no device is managed, the last claim
    /// checks all devices once more, since none is bound after it.
    ///
    /// # Errors
    /// - The objections of [`Host::check`], unless the assignment was begun with `force`.
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::NotFound`], if there is no device.
    /// - [`Error::File`], if the lock file cannot be used.
    pub fn claim(&mut self, device: Address) -> Result<(), Error> {
        let claim = self.host.claim(device, self.guest.as_deref())?;
        let disks = match &self.survey {
            Some(survey) => survey.hold_disks(&self.host.device(device)?),
            None => HeldDisks::default(),
        };
        self.devices.push(AssignedDevice {
            claim,
            disks,
            give_back: false,
        });
        let is_last = self.devices.len() == self.requests.len();
        if is_last && self.requests.iter().all(|request| !request.managed) {
            // A claim that is refused after all must not stay.
            self.recheck().inspect_err(|_| drop(self.devices.pop()))?;
        }
        Ok(())
    }

    /// Binds a claimed device to a loaded VFIO driver. All devices have to be claimed before the
    /// first one is bound: the first bind checks all once more.
    ///
    /// # Errors
    /// - The objections of [`Host::check`], unless the assignment was begun with `force`.
    /// - The errors of the change, which is undone. An [`Error::NotUndone`] or [`Error::Stuck`]
    ///   leaves the device's record.
    pub fn bind(&mut self, device: Address, driver: &str) -> Result<(), Error> {
        self.recheck()?;
        if let Some(assigned) = self.assigned(device) {
            let disks = std::mem::take(&mut assigned.disks);
            assigned.give_back = assigned.claim.bind(driver, disks)?;
        }

        Ok(())
    }

    fn assigned(&mut self, device: Address) -> Option<&mut AssignedDevice> {
        let mut devices = self.devices.iter_mut();
        devices.find(|assigned| assigned.claim.device() == device)
    }

    /// Returns the claim of a device, if it was claimed.
    fn claimed(&self, device: Address) -> Option<&Claim> {
        let mut claims = self.devices.iter().map(|assigned| &assigned.claim);
        claims.find(|claim| claim.device() == device)
    }

    /// Notes in the record of a claimed device that the guest's VMM has the device.
    ///
    /// # Errors
    /// Those of [`Claim::hand_over`].
    pub fn hand_over(&self, device: Address, vmm: &ProcessId) -> Result<(), Error> {
        match self.claimed(device) {
            Some(claim) => claim.hand_over(vmm),
            None => Ok(()),
        }
    }

    /// Removes the VMM from the record of a claimed device, once the VMM no longer has the device.
    ///
    /// # Errors
    /// Those of [`Claim::take_back`].
    pub fn take_back(&self, device: Address) -> Result<(), Error> {
        match self.claimed(device) {
            Some(claim) => claim.take_back(),
            None => Ok(()),
        }
    }

    /// Checks the claimed devices once more, before the first one is bound.
    fn recheck(&mut self) -> Result<(), Error> {
        if self.survey.take().is_none() || self.force {
            return Ok(());
        }
        let held: Vec<&HeldDisks> = self.devices.iter().map(|device| &device.disks).collect();
        self.host.check_claimed(&self.requests, &held)
    }

    /// Gives one device back, if it was bound by this assignment. The claim stays. No process may
    /// have the device open any more.
    ///
    /// # Errors
    /// Those of [`Claim::restore`]. The device's record stays, and no later call tries again.
    pub fn give_back_device(&mut self, device: Address) -> Result<(), Error> {
        if let Some(assigned) = self.assigned(device)
            && std::mem::take(&mut assigned.give_back)
        {
            assigned.claim.restore(false)?;
        }

        Ok(())
    }

    /// Gives one device back, if it was bound by this assignment. A device that did not go back can
    /// be given back again.
    ///
    /// # Errors
    /// Those of [`Claim::restore`].
    pub fn try_give_back(&mut self, device: Address) -> Result<(), Error> {
        if let Some(assigned) = self.assigned(device)
            && assigned.give_back
        {
            assigned.claim.restore(false)?;
            assigned.give_back = false;
        }

        Ok(())
    }

    /// Waits for processes that have a device open and are about to close it.
    ///
    /// # Errors
    /// [`Error::OpenInProcesses`], if processes keep the device open.
    pub fn await_closed(&mut self, device: Address) -> Result<(), Error> {
        match self.assigned(device) {
            Some(assigned) => assigned.claim.await_holders(),
            None => Ok(()),
        }
    }

    /// Takes some devices out of this assignment, into one of their own.
    pub fn split_off(&mut self, devices: &[Address]) -> Self {
        let all = std::mem::take(&mut self.devices);
        let (taken, left) = all
            .into_iter()
            .partition(|assigned| devices.contains(&assigned.claim.device()));
        self.devices = left;
        Self {
            host: self.host.clone(),
            guest: self.guest.clone(),
            requests: Vec::new(),
            force: self.force,
            survey: None,
            devices: taken,
        }
    }

    /// Adds the devices of another assignment, which are given back before those of this one.
    pub fn absorb(&mut self, mut other: Self) {
        self.devices.append(&mut other.devices);
    }

    /// Ends the claim of a device, and leaves the device on its driver.
    pub fn end_claim(&mut self, device: Address) {
        self.devices
            .retain(|assigned| assigned.claim.device() != device);
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
        while let Some(AssignedDevice {
            claim, give_back, ..
        }) = self.devices.pop()
        {
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
