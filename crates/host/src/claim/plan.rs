//! The plan of a move: its steps, computed from the state of the device.

use super::owner::Owner;
use super::step::DriverStep;
use crate::device::expect_vfio;
use crate::record::{FormerState, Record, Validity};
use crate::{Device, DriverChange, Error, Host, Identity, Request};

impl Host {
    /// Lists the steps with which [`assign`](Self::assign) would take a device now. The list is
    /// empty for an unmanaged device, and for one that is on the wanted driver already.
    ///
    /// Only the device and its record are read. A record that cannot be read counts as missing,
    /// such as without privileges. [`check`](Self::check) decides whether the device can be taken.
    ///
    /// # Errors
    /// - [`Error::NotFound`], if there is no device.
    /// - [`Error::BadDriverName`] or [`Error::NotVfio`], if the driver is not a VFIO driver.
    pub fn steps_for(
        &self,
        request: &Request,
        guest: Option<&str>,
    ) -> Result<Vec<DriverStep>, Error> {
        let Some(DriverChange { to, .. }) = self.change(request)? else {
            return Ok(Vec::new());
        };
        let device = self.device(request.address)?;
        let owner = Owner {
            guest: guest.map(str::to_owned),
            pid: std::process::id(),
        };
        let recorded = self.recorded(&device).unwrap_or_default();
        self.plan_steps_to(&device, &to, recorded, &owner)
    }

    /// Lists the steps that take a device to a driver, with the record that is on disk.
    ///
    /// # Errors
    /// [`Error::NotVfio`], if the device is on that driver and the driver is not a VFIO driver.
    pub(super) fn plan_steps_to(
        &self,
        device: &Device,
        driver: &str,
        recorded: Recorded,
        owner: &Owner,
    ) -> Result<Vec<DriverStep>, Error> {
        if device.driver.as_deref() == Some(driver) {
            expect_vfio(device, driver)?;
        }
        let identity = self.merged_identity(device, recorded.record.as_ref())?;
        let former = FormerState::from_device(device);
        let new = Record {
            identity: Some(identity),
            ..Record::for_owner(self, owner, device.address, driver, former)
        };
        Ok(steps_to(device, new, recorded))
    }

    /// Reads the record of a device for a plan, and changes nothing.
    ///
    /// # Errors
    /// Those of [`record`](Self::record), and [`Error::NotFound`].
    pub(super) fn recorded(&self, device: &Device) -> Result<Recorded, Error> {
        let Some(record) = self.record(device.address)? else {
            return Ok(Recorded::default());
        };
        let identity = self.identity(device.address)?;
        let is_stale = record.validity(device, &identity) != Validity::Valid;
        let record = if is_stale { None } else { Some(record) };
        Ok(Recorded { record, is_stale })
    }

    /// Returns the identity of a device, with the serial numbers that an earlier record has.
    pub(super) fn merged_identity(
        &self,
        device: &Device,
        record: Option<&Record>,
    ) -> Result<Identity, Error> {
        let identity = self.identity(device.address)?;
        let earlier = record.and_then(|record| record.identity.as_ref());
        Ok(match earlier {
            Some(earlier) => identity.merged(earlier),
            None => identity,
        })
    }
}

/// The record of a device on disk.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// The record, if it counts for the device.
    pub(super) record: Option<Record>,
    /// Whether there is a record that does not count.
    pub(super) is_stale: bool,
}

/// Lists the steps that take a device to the driver of the record `new`, which has the device's
/// current state as the former one.
///
/// On that driver already, the device needs a record only if it has that of a guest.
fn steps_to(device: &Device, new: Record, recorded: Recorded) -> Vec<DriverStep> {
    let former = recorded.record.and_then(Record::without_note);
    if device.driver.as_ref() == Some(&new.driver) {
        return match former.filter(|record| record.guest.is_some()) {
            Some(former) => vec![record_step(Record {
                driver: former.driver,
                former: former.former,
                earlier: former.earlier,
                ..new
            })],
            None if recorded.is_stale => vec![DriverStep::RemoveRecord],
            None => Vec::new(),
        };
    }

    let driver = new.driver.clone();
    let now = new.former.clone();
    let (former, earlier) = FormerState::before_taking(device, former);
    let mut steps = vec![record_step(Record {
        left: (now != former).then_some(now),
        former,
        earlier,
        ..new
    })];
    steps.extend(override_step(device, Some(&driver)));
    steps.extend(unbind_step(device));
    steps.push(DriverStep::Bind { driver });
    steps
}

/// Lists the steps that take a device back to the former state in its record, else to the driver
/// that the kernel finds. `has_file` is whether there is a record on disk.
pub(super) fn steps_back(
    device: &Device,
    record: Option<Record>,
    has_file: bool,
) -> Vec<DriverStep> {
    let mut steps = Vec::new();
    let former = record.as_ref().map(|record| &record.former);
    if device.on_vfio() || record.is_some() {
        let former_override = former.and_then(|former| former.driver_override.as_deref());
        steps.extend(override_step(device, former_override));
        if !stays_on_driver(device, former) {
            steps.extend(unbind_step(device));
            steps.extend(bind_back_step(former));
        }
    }

    match record.and_then(|record| record.earlier) {
        Some(record) => steps.push(DriverStep::RestoreEarlier { record }),
        None if has_file => steps.push(DriverStep::RemoveRecord),
        None => {}
    }
    steps
}

/// Returns whether a device that goes back to `former` is on that driver already.
pub(super) fn stays_on_driver(device: &Device, former: Option<&FormerState>) -> bool {
    former.is_some_and(|former| former.driver == device.driver)
}

fn record_step(record: Record) -> DriverStep {
    DriverStep::Record {
        record: Box::new(record),
    }
}

fn override_step(device: &Device, value: Option<&str>) -> Option<DriverStep> {
    let former = device.driver_override.as_deref();
    (former != value).then(|| DriverStep::Override {
        value: value.map(str::to_owned),
        former: former.map(str::to_owned),
    })
}

fn unbind_step(device: &Device) -> Option<DriverStep> {
    let driver = device.driver.clone()?;
    Some(DriverStep::Unbind { driver })
}

fn bind_back_step(former: Option<&FormerState>) -> Option<DriverStep> {
    let Some(former) = former else {
        return Some(DriverStep::Probe);
    };
    let driver = former.driver.clone()?;
    Some(DriverStep::BindBack { driver })
}
