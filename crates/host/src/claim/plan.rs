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
                left: former.left,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const NVME: &str = "nvme";
    const VFIO: &str = "vfio-pci";
    const VARIANT: &str = "nvme_vfio_pci";

    /// A device and its record on disk.
    #[derive(Clone, Debug, PartialEq)]
    struct State {
        device: Device,
        record: Option<Record>,
    }

    impl State {
        /// Returns the state after a step. Like the kernel, this binds a device only to the driver
        /// in `driver_override`, and unbinds it only from its own.
        fn after(&self, step: &DriverStep) -> Self {
            let mut state = self.clone();
            let device = &mut state.device;
            match step.clone() {
                DriverStep::Record { record } | DriverStep::RestoreEarlier { record } => {
                    state.record = Some(*record);
                }
                DriverStep::RemoveRecord => state.record = None,
                DriverStep::Override { value, former } => {
                    assert_eq!(device.driver_override, former);
                    device.driver_override = value;
                }
                DriverStep::Unbind { driver } => {
                    assert_eq!(device.driver.take(), Some(driver));
                }
                DriverStep::Bind { driver } | DriverStep::BindBack { driver } => {
                    assert_eq!(device.driver, None);
                    let only = device.driver_override.as_ref();
                    assert!(
                        only.is_none_or(|only| *only == driver),
                        "{driver}: {only:?}"
                    );
                    device.driver = Some(driver);
                }
                DriverStep::Probe => {
                    let only = device.driver_override.clone();
                    device.driver = Some(only.unwrap_or_else(|| NVME.into()));
                }
            }

            state
        }

        fn after_all(&self, steps: &[DriverStep]) -> Self {
            steps
                .iter()
                .fold(self.clone(), |state, step| state.after(step))
        }

        fn recorded(&self, host: &Host) -> Recorded {
            let identity = host.identity(self.device.address).unwrap();
            if let Some(record) = &self.record {
                let validity = record.validity(&self.device, &identity);
                assert_eq!(validity, Validity::Valid, "{self:?}");
            }

            Recorded {
                record: self.record.clone(),
                is_stale: false,
            }
        }

        fn steps_to(&self, host: &Host, driver: &str) -> Vec<DriverStep> {
            let new = self.new_record(host, Some("web"), driver, &self.former());
            steps_to(&self.device, new, self.recorded(host))
        }

        fn steps_back(&self, host: &Host) -> Vec<DriverStep> {
            let recorded = self.recorded(host);
            steps_back(&self.device, recorded.record, self.record.is_some())
        }

        fn former(&self) -> FormerState {
            FormerState::from_device(&self.device)
        }

        fn new_record(
            &self,
            host: &Host,
            guest: Option<&str>,
            driver: &str,
            former: &FormerState,
        ) -> Record {
            let owner = Owner {
                guest: guest.map(str::to_owned),
                pid: 7,
            };
            Record::for_owner(host, &owner, self.device.address, driver, former.clone())
        }
    }

    fn state(host: &Host, driver: Option<&str>, driver_override: Option<&str>) -> State {
        let device = Device {
            driver: driver.map(str::to_owned),
            driver_override: driver_override.map(str::to_owned),
            ..host.devices().remove(0)
        };
        State {
            device,
            record: None,
        }
    }

    /// Returns states that a device can be in before it is taken, each with the state to which it
    /// goes back.
    fn states(host: &Host) -> Vec<(State, State)> {
        let mut states = Vec::new();
        for (driver, driver_override) in [
            (Some(NVME), None),
            (Some(NVME), Some(NVME)),
            (None, None),
            (None, Some("pci-stub")),
            (Some(VFIO), Some(VFIO)),
        ] {
            let at_rest = state(host, driver, driver_override);
            states.push((at_rest.clone(), at_rest.clone()));

            // Bound by hand, and left by a guest that crashed at each step.
            for (guest, target) in [(None, VARIANT), (Some("crashed"), VARIANT)] {
                let new = at_rest.new_record(host, guest, target, &at_rest.former());
                let steps = steps_to(&at_rest.device, new, Recorded::default());
                let bound = at_rest.after_all(&steps);
                if guest.is_none() {
                    states.push((bound.clone(), bound));
                    continue;
                }
                for end in 1..=steps.len() {
                    states.push((at_rest.after_all(&steps[..end]), at_rest.clone()));
                }
            }
        }

        states
    }

    #[test]
    fn steps_back_undo_steps_to() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        let host = tree.host();
        let mut longest = 0;
        for (before, former) in states(&host) {
            for driver in [VFIO, VARIANT] {
                let steps = before.steps_to(&host, driver);
                longest = longest.max(steps.len());
                let taken = before.after_all(&steps);
                assert_eq!(taken.device.driver.as_deref(), Some(driver));

                for end in 1..=steps.len() {
                    let cut = before.after_all(&steps[..end]);
                    let back = cut.steps_back(&host);
                    assert_eq!(cut.after_all(&back), former, "{steps:?}, {end}");

                    // The way back may be cut short too, before its last step.
                    for end in 0..back.len() {
                        let again = cut.after_all(&back[..end]);
                        let rest = again.steps_back(&host);
                        assert_eq!(again.after_all(&rest), former, "{back:?}, {end}");
                    }
                }
            }
        }

        assert_eq!(longest, 4);
    }

    #[test]
    fn device_without_a_record_goes_to_the_driver_of_the_kernel() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x010802);
        let host = tree.host();
        let on_vfio = state(&host, Some(VFIO), Some(VFIO));
        let back = on_vfio.steps_back(&host);
        let texts: Vec<String> = back.iter().map(ToString::to_string).collect();

        assert_eq!(
            texts,
            [
                "clear driver_override",
                "unbind from vfio-pci",
                "let the kernel find its driver"
            ]
        );
        assert!(on_vfio.steps_to(&host, VFIO).is_empty());
        assert!(state(&host, Some(NVME), None).steps_back(&host).is_empty());
    }
}
