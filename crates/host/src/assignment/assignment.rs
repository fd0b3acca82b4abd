//! Assignments: the devices of one guest (or of one `bind`), taken together or not at all, and
//! given back.

use passthru_pci::Address;

use crate::usage::HeldDisks;
use crate::{Claim, Device, Error, Host, HostSurvey, Usage};

/// A device that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The device.
    pub address: Address,
    /// Whether it is to be bound now and given back later (libvirt's `managed='yes'`). If not, it
    /// has to be on a VFIO driver already and stays there.
    pub managed: bool,
    /// The driver to bind it to, instead of [`Host::vfio_driver`].
    pub driver: Option<String>,
    /// Whether its open node was handed in by the caller: then processes that have it open, seen or
    /// not, are no objection, since the caller and this process do.
    pub handed_in: bool,
}

/// Devices that are claimed and on their VFIO drivers. Given back on drop at the latest.
#[derive(Debug)]
#[must_use = "the devices are given back when this is dropped"]
pub struct Assignment {
    host: Host,
    taken: Vec<AssignedDevice>,
}

#[derive(Debug)]
struct AssignedDevice {
    claim: Claim,
    give_back: bool,
}

impl Request {
    /// Asks for a device that is bound now and given back later.
    pub fn managed(address: Address) -> Self {
        Self {
            address,
            managed: true,
            driver: None,
            handed_in: false,
        }
    }

    /// Asks for a device that is on a VFIO driver already.
    pub fn unmanaged(address: Address) -> Self {
        Self {
            address,
            managed: false,
            driver: None,
            handed_in: false,
        }
    }
}

impl Host {
    /// Takes devices for a guest, or with `None` until further notice. All are looked at before the
    /// first is touched, and once more when all are claimed; if one fails, those before it go back.
    /// Devices of one call count as leaving their group together. Disks are held exclusively from
    /// the claim until they leave their driver, so that nothing is mounted meanwhile.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses; its objections too unless `force` is set; what the
    /// kernel answered.
    pub fn assign(
        &self,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
    ) -> Result<Assignment, Error> {
        self.assign_unless(requests, guest, force, &|| false)
    }

    /// Takes devices as [`assign`](Self::assign) does, unless interrupted: `interrupted` is asked
    /// before and after each device, and then all go back.
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
            taken: Vec::new(),
        };
        if requests.is_empty() {
            return if interrupted() {
                Err(Error::Interrupted)
            } else {
                Ok(assignment)
            };
        }
        let survey = self.survey_excluding(&[], &[]);
        let objections = self.check_with_survey(&survey, requests)?;
        if !force && let Some(error) = Error::several(objections) {
            return Err(error);
        }
        match assignment.take(&survey, requests, guest, force, interrupted) {
            Ok(()) => Ok(assignment),
            Err(failure) => Err(assignment.undone(failure)),
        }
    }

    /// Looks once more at devices that are claimed and held: between the first look and the claim,
    /// the host may have begun to use one.
    fn check_again(&self, requests: &[Request], holds: &[HeldDisks]) -> Result<(), Error> {
        let addresses: Vec<Address> = requests.iter().map(|request| request.address).collect();
        let survey = self.survey_excluding(&addresses, holds);
        let mut objections = Vec::new();
        for request in requests {
            let device = self.device(request.address)?;
            objections.extend(self.objections(request, &device, &addresses, &survey));
        }
        Error::several(objections).map_or(Ok(()), Err)
    }

    /// Looks at devices without touching them; without requests, at nothing. Returns the objections
    /// that may be overridden: [`Error::InUse`], [`Error::UsageUnknown`] and [`Error::NotViable`].
    ///
    /// # Errors
    /// Those that may not be: a device that is not there, twice in the list, a bridge, without
    /// IOMMU group, without an IOMMU, claimed, or unmanaged and on a driver of the host; a driver's
    /// name that cannot be one. All of them, not only the first.
    pub fn check(&self, requests: &[Request]) -> Result<Vec<Error>, Error> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.check_with_survey(&self.survey_excluding(&[], &[]), requests)
    }

    /// Like [`check`](Self::check), with what the host is doing looked at before: for many devices
    /// one by one. With a look by [`usage`](Self::usage), no disk is opened.
    ///
    /// # Errors
    /// As there.
    pub fn check_with_survey(
        &self,
        survey: &HostSurvey,
        requests: &[Request],
    ) -> Result<Vec<Error>, Error> {
        let addresses: Vec<Address> = requests.iter().map(|request| request.address).collect();
        let (mut refusals, mut objections) = (Vec::new(), Vec::new());
        for (i, request) in requests.iter().enumerate() {
            match self.assignable(request) {
                Ok(_) if addresses[..i].contains(&request.address) => {
                    refusals.push(Error::Twice {
                        device: request.address,
                    });
                }
                Ok(device) => {
                    objections.extend(self.objections(request, &device, &addresses, survey));
                }
                Err(error) => refusals.push(error),
            }
        }
        match Error::several(refusals) {
            Some(error) => Err(error),
            None => Ok(objections),
        }
    }

    fn assignable(&self, request: &Request) -> Result<Device, Error> {
        request
            .driver
            .as_deref()
            .map_or(Ok(()), Host::check_driver_name)?;
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
        if let Some(owner) = self.owner(device.address) {
            return Err(Error::Claimed {
                device: device.address,
                owner,
            });
        }
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
        let expected = |usage: &Usage| request.handed_in && matches!(usage, Usage::Process { .. });
        let usages: Vec<Usage> = report
            .blocking()
            .filter(|usage| !expected(usage))
            .cloned()
            .collect();
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

impl Assignment {
    fn take(
        &mut self,
        survey: &HostSurvey,
        requests: &[Request],
        guest: Option<&str>,
        force: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let mut holds = Vec::new();
        let mut drivers = Vec::new();
        for request in requests {
            let claim = self.host.claim(request.address, guest)?;
            self.taken.push(AssignedDevice {
                claim,
                give_back: false,
            });
            holds.push(survey.hold_disks(&self.host.device(request.address)?));
            drivers.push(self.host.change(request)?.map(|change| change.to));
        }
        for driver in drivers.iter().flatten() {
            self.host.load_driver(driver)?;
        }
        if !force {
            self.host.check_again(requests, &holds)?;
        }
        let go_on = || {
            if interrupted() {
                Err(Error::Interrupted)
            } else {
                Ok(())
            }
        };
        go_on()?;
        for ((taken, driver), hold) in self.taken.iter_mut().zip(drivers).zip(holds) {
            if let Some(driver) = driver {
                taken.give_back = taken.claim.bind(&driver, hold)?;
            }
            go_on()?;
        }
        Ok(())
    }

    /// Gives everything back after a failure. Returns the failure, and what was not given back with
    /// it.
    fn undone(mut self, failure: Error) -> Error {
        let failures = self.undo_each().into_iter();
        failures.fold(failure, |failure, (device, source)| Error::NotUndone {
            device,
            failure: failure.into(),
            source: source.into(),
        })
    }

    /// Returns the devices as they are now, in the order of the requests. One that has gone is left
    /// out.
    pub fn devices(&self) -> Vec<Device> {
        self.taken
            .iter()
            .filter_map(|taken| self.host.device(taken.claim.device()).ok())
            .collect()
    }

    /// Gives the devices back, the last one first. Nobody may have them open any more.
    ///
    /// # Errors
    /// One for each device that did not go back; its record stays.
    pub fn give_back(mut self) -> Result<(), Vec<Error>> {
        let errors = self.undo();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Leaves the devices on their VFIO drivers, and lets go of the claims.
    pub fn keep(mut self) {
        self.taken.clear();
    }

    fn undo(&mut self) -> Vec<Error> {
        self.undo_each()
            .into_iter()
            .map(|(_, error)| error)
            .collect()
    }

    /// Gives the devices back, the last one first. Returns those that did not go, with the reasons.
    fn undo_each(&mut self) -> Vec<(Address, Error)> {
        let taken = self.taken.drain(..).rev().filter(|taken| taken.give_back);
        let failed =
            |taken: AssignedDevice| Some((taken.claim.device(), taken.claim.restore(false).err()?));
        taken.filter_map(failed).collect()
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        for error in self.undo() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a device was not given back"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_tree::Tree;
    use crate::{FormerState, Owner};

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    /// An NVMe disk on its driver, and a NIC on `vfio-pci`. Nothing moves when their files are
    /// written.
    fn host() -> Tree {
        let tree = Tree::new();
        let nvme = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", Some("nvme"), 1);
        tree.file(&format!("{nvme}/driver_override"), "(null)\n");
        tree.pci("0000:02:00.0", 0x020000);
        tree.place("0000:02:00.0", Some("vfio-pci"), 2);
        for file in ["nvme/unbind", "nvme/bind", "vfio-pci/bind"] {
            tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
        }
        tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        tree
    }

    fn override_of_nvme(tree: &Tree) -> String {
        fs::read_to_string(tree.path("sys/bus/pci/devices/0000:01:00.0/driver_override")).unwrap()
    }

    #[test]
    fn no_request_leaves_the_host_unread() {
        use rustix::fs::inotify;
        let tree = host();
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let opened = inotify::init(flags).unwrap();
        inotify::add_watch(&opened, tree.path("proc"), inotify::WatchFlags::OPEN).unwrap();
        let mut event = [0; 512];
        assert_eq!(tree.host().check(&[]).unwrap().len(), 0);
        assert_eq!(
            tree.host()
                .assign(&[], Some("one"), false)
                .unwrap()
                .devices(),
            []
        );
        assert_eq!(
            rustix::io::read(&opened, &mut event),
            Err(rustix::io::Errno::AGAIN)
        );
        let stopped = tree.host().assign_unless(&[], Some("one"), false, &|| true);
        assert!(matches!(stopped, Err(Error::Interrupted)));
        // With a request, the folder is read.
        tree.host()
            .check(&[Request::managed(address("02:00.0"))])
            .unwrap();
        assert!(rustix::io::read(&opened, &mut event).is_ok());
    }

    #[test]
    fn a_device_on_vfio_is_claimed_and_stays_where_it_is() {
        let tree = host();
        let nic = address("02:00.0");
        let assignment = tree
            .host()
            .assign(&[Request::unmanaged(nic)], Some("one"), false)
            .unwrap();
        let owner = Owner {
            guest: Some("one".into()),
            pid: std::process::id(),
        };
        assert_eq!(tree.host().owner(nic), Some(owner.clone()));

        let error = tree
            .host()
            .assign(&[Request::managed(nic)], Some("two"), true)
            .unwrap_err();
        assert!(
            matches!(&error, Error::Claimed { owner: by, .. } if *by == owner),
            "{error}"
        );

        assignment.give_back().unwrap();
        assert_eq!(tree.host().owner(nic), None);
        assert_eq!(
            tree.host().device(nic).unwrap().driver.as_deref(),
            Some("vfio-pci")
        );
    }

    #[test]
    fn a_failed_bind_puts_everything_back_and_leaves_no_record() {
        let tree = host();
        let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
        let error = tree
            .host()
            .assign(&requests, Some("one"), false)
            .unwrap_err();
        let Error::NotTaken { now, wanted, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            (now.as_deref(), wanted.as_deref()),
            (Some("nvme"), Some("vfio-pci"))
        );
        assert!(override_of_nvme(&tree).starts_with('\n')); // what the last write was, over the one before
        assert_eq!(tree.host().record(address("01:00.0")).unwrap(), None);
        assert_eq!(tree.host().owner(address("02:00.0")), None);
    }

    #[test]
    fn failed_rollback_is_part_of_the_error() {
        let tree = host();
        let nic = address("02:00.0");
        // What a crashed guest left, whose former driver has gone.
        let former = FormerState {
            driver: Some("no-such-driver".into()),
            driver_override: None,
        };
        let claim = tree.host().claim(nic, Some("crashed")).unwrap();
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former))
            .unwrap();
        drop(claim);
        let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
        let error = tree
            .host()
            .assign(&requests, Some("one"), false)
            .unwrap_err();
        let Error::NotUndone {
            device, failure, ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(*device, nic);
        assert!(matches!(**failure, Error::NotTaken { .. }), "{failure}");
        assert!(tree.host().record(nic).unwrap().is_some());
    }

    #[test]
    fn all_refusals_are_reported_and_nothing_is_touched() {
        let tree = host();
        tree.pci("0000:00:01.0", 0x060400);
        let requests =
            ["00:01.0", "09:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
        let Err(Error::Several(errors)) = tree.host().assign(&requests, None, true) else {
            panic!()
        };
        assert!(matches!(
            errors[..],
            [Error::Bridge { .. }, Error::NotFound { .. }]
        ));
        assert_eq!(override_of_nvme(&tree), "(null)\n");
        assert!(!tree.path("run").exists());
    }

    #[test]
    fn an_unmanaged_device_has_to_be_on_vfio_and_none_may_come_twice() {
        let tree = host();
        let nvme = Request::unmanaged(address("01:00.0"));
        assert!(matches!(
            tree.host().check(&[nvme]),
            Err(Error::NotOnVfio { .. })
        ));
        let nic = Request::managed(address("02:00.0"));
        assert!(matches!(
            tree.host().check(&[nic.clone(), nic]),
            Err(Error::Twice { .. })
        ));
    }

    #[test]
    fn only_a_vfio_driver_can_be_asked_for() {
        let tree = host();
        let nvme = |driver: &str| {
            [Request {
                driver: Some(driver.into()),
                ..Request::managed(address("01:00.0"))
            }]
        };
        let error = tree.host().check(&nvme("../../../../tmp")).unwrap_err();
        assert!(matches!(error, Error::BadDriverName { .. }), "{error}");
        let error = tree.host().assign(&nvme("nvme"), None, false).unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
        assert_eq!(override_of_nvme(&tree), "(null)\n");
        assert_eq!(tree.host().record(address("01:00.0")).unwrap(), None);
    }

    #[test]
    fn device_without_iommu_is_refused_even_by_force() {
        let tree = host();
        tree.file(
            "sys/devices/pci/0000:02:00.0/vfio-dev/noiommu-vfio0/dev",
            "511:0\n",
        );
        let nic = address("02:00.0");
        for request in [Request::managed(nic), Request::unmanaged(nic)] {
            let error = tree
                .host()
                .assign(&[request], Some("one"), true)
                .unwrap_err();
            assert!(
                matches!(error, Error::DeviceWithoutIommu { device } if device == nic),
                "{error}"
            );
            assert!(
                error
                    .hint()
                    .is_some_and(|hint| hint.contains("IOMMU on in the firmware"))
            );
        }
        assert_eq!(tree.host().owner(nic), None);
        assert_eq!(tree.host().record(nic).unwrap(), None);
    }

    #[test]
    fn what_a_crashed_guest_left_is_taken_over_with_its_former_state() {
        let tree = host();
        let nic = address("02:00.0");
        let former = FormerState {
            driver: Some("e1000e".into()),
            driver_override: None,
        };
        let claim = tree.host().claim(nic, Some("crashed")).unwrap();
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former.clone()))
            .unwrap();
        drop(claim);

        let assignment = tree
            .host()
            .assign(&[Request::managed(nic)], Some("next"), false)
            .unwrap();
        let record = tree.host().record(nic).unwrap().unwrap();
        assert_eq!(
            (record.guest.as_deref(), record.former),
            (Some("next"), former)
        );
        assert!(assignment.taken[0].give_back);
        assignment.keep();
    }

    #[test]
    fn interrupted_assignment_gives_all_devices_back() {
        let tree = host();
        let nic = address("02:00.0");
        let former = FormerState {
            driver: Some("vfio-pci".into()),
            driver_override: None,
        };
        let claim = tree.host().claim(nic, Some("crashed")).unwrap();
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former))
            .unwrap();
        drop(claim);
        let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
        // The signal comes while the first of the two is bound.
        let asked = std::cell::Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) == 1;
        let host = tree.host();
        let error = host
            .assign_unless(&requests, Some("one"), false, &interrupted)
            .unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
        assert_eq!(host.record(nic).unwrap(), None);
        assert_eq!(override_of_nvme(&tree), "(null)\n");
        assert_eq!(host.owner(nic), None);
    }

    #[test]
    fn a_device_that_does_not_go_back_keeps_no_other_from_it() {
        let tree = host();
        tree.pci("0000:03:00.0", 0x020000);
        tree.place("0000:03:00.0", Some("vfio-pci"), 3);
        let former = |driver: &str| FormerState {
            driver: Some(driver.into()),
            driver_override: None,
        };
        for (text, driver) in [("02:00.0", "no-such-driver"), ("03:00.0", "vfio-pci")] {
            let claim = tree.host().claim(address(text), None).unwrap();
            tree.host()
                .write_record(&claim.new_record("vfio-pci", former(driver)))
                .unwrap();
        }
        let error = tree
            .host()
            .release(&["02:00.0", "03:00.0"].map(address), false)
            .unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        assert!(tree.host().record(address("02:00.0")).unwrap().is_some());
        assert_eq!(tree.host().record(address("03:00.0")).unwrap(), None);
    }

    #[test]
    fn a_device_that_a_process_has_open_is_not_released() {
        let tree = host();
        tree.file("sys/class/vfio/2/dev", "510:2\n");
        tree.file("dev/vfio/2", "char 510:2\n");
        tree.link("proc/77/fd/3", "/dev/vfio/2");
        tree.file("proc/77/comm", "qemu\n");
        let error = tree
            .host()
            .release(&[address("02:00.0")], false)
            .unwrap_err();
        let Error::Held { holders, .. } = &error else {
            panic!("{error}")
        };
        assert!(matches!(holders[..], [Usage::Process { pid: 77, .. }]));
    }
}
