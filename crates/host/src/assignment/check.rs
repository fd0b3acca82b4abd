//! Checks of requests, which change nothing.

use passthru_pci::Address;

use super::request::Request;
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, HostSurvey, Usage};

/// Reasons against requests.
struct Verdict {
    /// Errors that no caller may override.
    refusals: Vec<Error>,
    /// Errors that a caller may override.
    objections: Vec<Error>,
}

impl Host {
    /// Checks requests, and returns the objections that a caller may override.
    ///
    /// Objections are [`Error::InUse`], [`Error::UsageUnknown`] and [`Error::NotViable`]. Without
    /// requests, nothing of the host is read. Disks without another usage are opened exclusively
    /// for an instant.
    ///
    /// # Errors
    /// The refusals that no caller may override, all of them and not only the first:
    ///
    /// - [`Error::NotFound`], [`Error::NamedTwice`] or [`Error::Bridge`].
    /// - [`Error::NoGroup`] or [`Error::DeviceWithoutIommu`].
    /// - [`Error::Claimed`], if another process has claimed the device.
    /// - [`Error::HeldByVmm`], if the VMM of another guest has the device.
    /// - [`Error::NotOnVfio`], if the request is unmanaged and the device is not on a VFIO driver.
    /// - [`Error::BadDriverName`], if the requested driver cannot be one.
    pub fn check(&self, requests: &[Request]) -> Result<Vec<Error>, Error> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.check_with_survey(&self.survey_excluding(&[], &[]), requests)
    }

    /// Checks requests as [`check`](Self::check) does. Returns all refusals, then all objections.
    pub fn check_all(&self, requests: &[Request]) -> Vec<Error> {
        if requests.is_empty() {
            return Vec::new();
        }
        let survey = self.survey_excluding(&[], &[]);
        let Verdict {
            mut refusals,
            objections,
        } = self.judge(&survey, requests);
        refusals.extend(objections);
        refusals
    }

    /// Checks requests as [`check`](Self::check) does, by an existing survey. With a survey from
    /// [`survey`](Self::survey), no disk is opened.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn check_with_survey(
        &self,
        survey: &HostSurvey,
        requests: &[Request],
    ) -> Result<Vec<Error>, Error> {
        let Verdict {
            refusals,
            objections,
        } = self.judge(survey, requests);
        match Error::several(refusals) {
            Some(error) => Err(error),
            None => Ok(objections),
        }
    }

    /// Returns the refusals and objections of requests.
    fn judge(&self, survey: &HostSurvey, requests: &[Request]) -> Verdict {
        let addresses = addresses(requests);
        let mut refusals = Vec::new();
        let mut objections = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            match self.assignable(request) {
                Ok(_) if addresses[..index].contains(&request.address) => {
                    refusals.push(Error::NamedTwice {
                        device: request.address,
                    });
                }
                Ok(device) => {
                    objections.extend(self.objections(request, &device, &addresses, survey));
                }
                Err(error) => refusals.push(error),
            }
        }

        Verdict {
            refusals,
            objections,
        }
    }

    /// Checks claimed devices once more: the host may have begun to use one after the first check
    /// and before the claim. `disks` are those that the caller holds of them.
    ///
    /// # Errors
    /// The objections of [`check`](Self::check).
    pub fn check_claimed(&self, requests: &[Request], disks: &[&HeldDisks]) -> Result<(), Error> {
        let addresses = addresses(requests);
        let survey = self.survey_excluding(&addresses, disks);
        let mut objections = Vec::new();
        for request in requests {
            let device = self.device(request.address)?;
            objections.extend(self.objections(request, &device, &addresses, &survey));
        }

        match Error::several(objections) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Returns the requested device, unless there is a refusal.
    fn assignable(&self, request: &Request) -> Result<Device, Error> {
        if let Some(driver) = &request.driver {
            Self::check_driver_name(driver)?;
        }
        let device = self.device(request.address)?;
        if device.is_bridge() {
            return Err(Error::Bridge {
                device: device.address,
            });
        }

        if device.no_iommu {
            return Err(Error::DeviceWithoutIommu {
                device: device.address,
            });
        }

        if device.group.is_none() {
            return Err(Error::NoGroup {
                device: device.address,
                others_have: self.has_groups(),
            });
        }

        self.check_unclaimed(device.address.into())?;
        if !request.managed && !device.on_vfio() {
            return Err(Error::NotOnVfio {
                device: device.address,
                driver: device.driver,
            });
        }

        Ok(device)
    }

    fn objections(
        &self,
        request: &Request,
        device: &Device,
        taken: &[Address],
        survey: &HostSurvey,
    ) -> Vec<Error> {
        let report = survey.report(device);
        let mut usages: Vec<Usage> = report.blocking().cloned().collect();
        if request.handed_in {
            usages.retain(|usage| !matches!(usage, Usage::Process { .. }));
        }
        let mut objections = Vec::new();
        if !usages.is_empty() {
            objections.push(Error::InUse {
                device: request.address,
                usages,
            });
        }

        if !report.blind_spots.is_empty() && !request.handed_in {
            objections.push(Error::UsageUnknown {
                device: request.address,
                blind_spots: report.blind_spots,
            });
        }

        objections.extend(self.check_group(device, taken, survey).err());
        objections
    }
}

fn addresses(requests: &[Request]) -> Vec<Address> {
    requests.iter().map(|request| request.address).collect()
}
