//! Claims: at any time, at most one process may change a device.
//!
//! A claim is a lock on `/run/passthru/devices/ADDRESS.lock`, and the file names the owner. The
//! lock ends with its process, however the process ends. The file is never removed: a lock on a
//! file that may be removed protects nothing.
//!
//! The claim of a guest outlives its process as long as the guest's VMM lives, which the device's
//! record names.

use std::fs::File;
use std::mem;
use std::sync::Arc;

use passthru_pci::Address;

use super::owner::Owner;
use super::plan::{self, Recorded};
use super::step::DriverStep;
use super::switch::DriverSwitch;
use crate::record::{FormerState, Record, VERSION, Validity};
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, ProcessId};

/// The exclusive right to change a device. The right ends when this value is dropped.
#[derive(Debug)]
pub struct Claim {
    host: Host,
    device: Address,
    owner: Owner,
    lock: Arc<File>,
}

impl Claim {
    /// Makes the claim of the process that holds the device's lock.
    pub(super) fn new(host: Host, device: Address, owner: Owner, lock: File) -> Self {
        Self {
            host,
            device,
            owner,
            lock: Arc::new(lock),
        }
    }

    /// Returns the claimed device.
    pub fn device(&self) -> Address {
        self.device
    }

    /// Notes in the device's record that the VMM of this claim's guest has the device.
    ///
    /// From then on, the guest's claim outlives this process as long as the VMM lives. A device
    /// that was on its VFIO driver before gets a record too, whose end changes no driver.
    ///
    /// # Errors
    /// - [`Error::NoGuest`], if the claim is not that of a guest.
    /// - [`Error::NotOnVfio`] or [`Error::NotFound`], if no VMM can have the device.
    /// - [`Error::File`] and the like, if the record cannot be read or written.
    pub fn hand_over(&self, vmm: &ProcessId) -> Result<(), Error> {
        let device = self.host.device(self.device)?;
        if self.owner.guest.is_none() {
            return Err(Error::NoGuest {
                device: self.device,
            });
        }

        let Some(driver) = device.driver.as_ref().filter(|_| device.on_vfio()) else {
            return Err(Error::NotOnVfio {
                device: self.device,
                driver: device.driver,
            });
        };

        let record = match self.current_record(&device)? {
            Some(record) if self.has_made(&record, vmm) => record,
            other => Record {
                identity: Some(self.host.merged_identity(&device, other.as_ref())?),
                earlier: other.and_then(Record::without_note).map(Box::new),
                ..self.new_record(driver, FormerState::from_device(&device))
            },
        };
        self.host.write_record(&Record {
            version: VERSION,
            vmm: Some(vmm.clone()),
            ..record
        })
    }

    /// Removes the VMM from the device's record, once the VMM no longer has the device.
    ///
    /// A record that was there only for the VMM goes, and the one from before it counts again. The
    /// device stays on its driver.
    ///
    /// # Errors
    /// [`Error::File`] and the like, if the record cannot be read or written.
    pub fn take_back(&self) -> Result<(), Error> {
        let Some(record) = self.host.record(self.device)? else {
            return Ok(());
        };
        if record.vmm.is_none() {
            return Ok(());
        }
        match record.without_note() {
            Some(record) => self.host.write_record(&Record {
                vmm: None,
                ..record
            }),
            None => self.host.remove_record(self.device),
        }
    }

    /// Returns whether a record is of this claim, or of the claim that it follows.
    fn has_made(&self, record: &Record, vmm: &ProcessId) -> bool {
        record.guest == self.owner.guest
            && (record.pid == self.owner.pid || record.vmm.as_ref() == Some(vmm))
    }

    /// Lists the steps that take the device to a loaded VFIO driver from its current state.
    ///
    /// The first step records the device's state. If there is a record of a device that was taken
    /// and not given back, the state in that record is kept. If the device was bound by hand, that
    /// record counts again after the device is given back.
    ///
    /// A device that is on the driver already has to be given back only if a guest left it. The
    /// list then has the record alone. Otherwise, the list is empty.
    ///
    /// # Errors
    /// - [`Error::BadDriverName`], if `driver` cannot be a driver.
    /// - [`Error::NotVfio`], if the device is on that driver and it is not a VFIO driver.
    /// - [`Error::NotFound`], if the device is absent.
    /// - [`Error::Read`] and the like, if its record cannot be read.
    pub fn steps_to(&self, driver: &str) -> Result<Vec<DriverStep>, Error> {
        Host::check_driver_name(driver)?;
        let device = self.host.device(self.device)?;
        let recorded = self.host.recorded(&device)?;
        self.host
            .plan_steps_to(&device, driver, recorded, &self.owner)
    }

    /// Lists the steps that take the device back from its current state. They lead to the state in
    /// the device's record, else to the driver that the kernel finds.
    ///
    /// The list undoes any part of [`steps_to`](Self::steps_to) that has its first step. A list
    /// that was cut short is made anew. [`check_return`](Self::check_return) comes before the first
    /// step.
    ///
    /// # Errors
    /// - [`Error::Absent`], if the device is absent and has a record.
    /// - [`Error::Read`] and the like, if its record cannot be read.
    pub fn steps_back(&self) -> Result<Vec<DriverStep>, Error> {
        let Some(device) = self.await_device()? else {
            return Ok(Vec::new());
        };
        let recorded = self.host.recorded(&device)?;
        let has_file = self.host.has_record(self.device);
        Ok(plan::steps_back(&device, recorded.record, has_file))
    }

    /// Checks that the device can go back to the state in its record. Waits for processes that have
    /// the device open and are about to end.
    ///
    /// # Errors
    /// - [`Error::OpenInProcesses`], if processes have the device open. An unbind would wait for
    ///   them without end.
    /// - [`Error::VirtualFunctions`], if virtual functions would vanish.
    /// - [`Error::Absent`], if the device is absent and has a record.
    pub fn check_return(&self) -> Result<(), Error> {
        let Some(device) = self.await_device()? else {
            return Ok(());
        };
        let recorded = self.host.recorded(&device)?;
        self.check_move_back(&device, recorded.record.as_ref())
    }

    /// Makes the change of a step. `disks` are released once the change is made, or once the kernel
    /// has ended a write that exceeds its time limit.
    ///
    /// # Errors
    /// - [`Error::Stuck`], if the kernel exceeds the time limit. The claim lasts until the kernel
    ///   has ended the write, and the step may still take effect.
    /// - [`Error::Write`], if the kernel refuses the write.
    /// - [`Error::WrongDriver`], [`Error::NotVfio`] or [`Error::NoNode`], if the device is not as
    ///   wanted after a bind.
    /// - [`Error::NoDriver`], if the former driver is missing.
    /// - [`Error::File`], if the record cannot be written or removed.
    pub fn perform(&self, step: &DriverStep, disks: HeldDisks) -> Result<(), Error> {
        let switch = self.switch();
        match step {
            DriverStep::Record { record } | DriverStep::RestoreEarlier { record } => {
                self.host.write_record(record)
            }
            DriverStep::RemoveRecord => self.host.remove_record(self.device),
            DriverStep::Override { value, .. } => switch.set_override(value.as_deref()),
            DriverStep::Unbind { .. } => switch.unbind(disks),
            DriverStep::Bind { driver } => switch.bind(driver),
            DriverStep::BindBack { driver } => switch.bind_back(driver),
            DriverStep::Probe => switch.probe(),
        }
    }

    /// Binds the device to a loaded driver by [`steps_to`](Self::steps_to), and releases `disks`
    /// once the device has left its former driver.
    ///
    /// Returns whether the owner of this claim has to give the device back.
    ///
    /// # Errors
    /// - [`Error::BadDriverName`] or [`Error::NotVfio`], if `driver` is not a VFIO driver. The
    ///   change is undone.
    /// - [`Error::NotUndone`], if a change failed and could not be undone. The record stays.
    /// - [`Error::Stuck`], if the kernel exceeds the time limit. Nothing is undone, since an undo
    ///   would wait for the same write. The record stays, and the claim lasts until the kernel has
    ///   ended the write.
    pub(crate) fn bind(&self, driver: &str, mut disks: HeldDisks) -> Result<bool, Error> {
        Host::check_driver_name(driver)?;
        let device = self.host.device(self.device)?;
        let recorded = Recorded {
            record: self.current_record(&device)?,
            is_stale: false,
        };
        let steps = self
            .host
            .plan_steps_to(&device, driver, recorded, &self.owner)?;
        for step in &steps {
            let held = match step {
                DriverStep::Unbind { .. } => mem::take(&mut disks),
                _ => HeldDisks::default(),
            };
            match self.perform(step, held) {
                Ok(()) => {}
                Err(failure @ Error::Stuck { .. }) => return Err(failure),
                // Nothing has changed before the record is written.
                Err(failure) if step.is_of_record() => return Err(failure),
                Err(failure) => return Err(self.undo(failure)),
            }
        }

        Ok(!steps.is_empty())
    }

    /// Gives the device back: to the state in its record, else to the driver that the kernel finds.
    ///
    /// A device that was bound by hand before is bound by hand again. A device that the host has
    /// already taken back is left alone. A record that does not count for the device is dropped.
    /// Returns the driver that the device is on then.
    ///
    /// An unbind waits without end for processes that have the device open. With `force`, the
    /// kernel asks these processes to close the device, and waits.
    ///
    /// # Errors
    /// The record stays in all cases.
    ///
    /// - [`Error::OpenInProcesses`], if processes have the device open and `force` is not set.
    /// - [`Error::VirtualFunctions`], if virtual functions would vanish and `force` is not set.
    /// - [`Error::Absent`], if the device is absent.
    /// - [`Error::Write`] and the like, if a change fails.
    pub fn restore(&self, force: bool) -> Result<Option<String>, Error> {
        self.go_back(Some, force)
    }

    /// Gives the device back as [`restore`](Self::restore) does, but to its state before it was
    /// first taken.
    ///
    /// # Errors
    /// Those of [`restore`](Self::restore).
    pub fn release(&self, force: bool) -> Result<Option<String>, Error> {
        self.go_back(
            |record| record.without_note().map(Record::without_earlier),
            force,
        )
    }

    fn go_back(
        &self,
        adjust: fn(Record) -> Option<Record>,
        force: bool,
    ) -> Result<Option<String>, Error> {
        let Some(device) = self.await_device()? else {
            return Ok(None);
        };
        let record = self.current_record(&device)?.and_then(adjust);
        if !force {
            self.check_move_back(&device, record.as_ref())?;
        }
        let former = record.as_ref().map(|record| record.former.clone());
        let has_file = self.host.has_record(self.device);
        for step in plan::steps_back(&device, record, has_file) {
            if step.is_of_record()
                && let Some(former) = &former
            {
                self.switch().expect_driver(former.driver.as_deref())?;
            }
            self.perform(&step, HeldDisks::default())?;
        }

        Ok(self.host.device(self.device)?.driver)
    }

    /// Checks that the device can leave its driver for the state in a record.
    fn check_move_back(&self, device: &Device, record: Option<&Record>) -> Result<(), Error> {
        if !device.on_vfio() && record.is_none() {
            return Ok(());
        }
        let former = record.map(|record| &record.former);
        self.host.check_virtual_functions(device, former)?;
        self.await_holders()
    }

    /// Returns the record that counts for the device as it is now. A record that does not count is
    /// logged and removed.
    fn current_record(&self, device: &Device) -> Result<Option<Record>, Error> {
        let Some(record) = self.host.record(self.device)? else {
            return Ok(None);
        };
        let identity = self.host.identity(self.device)?;
        let current = device.driver.as_deref().unwrap_or("no driver");
        match record.validity(device, &identity) {
            Validity::Valid => return Ok(Some(record)),
            Validity::DriverChanged => tracing::warn!(
                "{device}: the host has moved the device to {current} since it was bound to \
                 {driver}; its record is dropped",
                device = self.device,
                driver = record.driver,
            ),
            Validity::DeviceChanged => tracing::warn!(
                "{device} is another device now ({identity}) than the one that was taken \
                 ({former}); its record is dropped",
                device = self.device,
                former = record
                    .identity
                    .map(|former| former.to_string())
                    .unwrap_or_default(),
            ),
        }

        self.host.remove_record(self.device)?;
        Ok(None)
    }

    /// Reads the device, and waits for a device that is absent for a moment, as in a reset. Returns
    /// `None` if the device stays absent and has no record.
    fn await_device(&self) -> Result<Option<Device>, Error> {
        let mut device = None;
        self.host.wait_until(self.host.wait(), || {
            device = self.host.device(self.device).ok();
            device.is_some()
        });
        if device.is_none() && self.host.record(self.device)?.is_some() {
            return Err(Error::Absent {
                device: self.device,
            });
        }

        Ok(device)
    }

    /// Waits for processes that have the device open and are about to end.
    pub(crate) fn await_holders(&self) -> Result<(), Error> {
        let mut holders = Vec::new();
        let is_free = self.host.wait_until(self.host.wait(), || {
            holders = match self.host.device(self.device) {
                Ok(device) => self.host.vfio_holders(&device).usages,
                Err(_) => Vec::new(),
            };
            holders.is_empty()
        });
        if is_free {
            return Ok(());
        }
        Err(Error::OpenInProcesses {
            device: self.device,
            holders,
        })
    }

    pub(crate) fn new_record(&self, driver: &str, former: FormerState) -> Record {
        Record {
            identity: self.host.identity(self.device).ok(),
            ..Record::for_owner(&self.host, &self.owner, self.device, driver, former)
        }
    }

    fn switch(&self) -> DriverSwitch<'_> {
        DriverSwitch {
            host: &self.host,
            device: self.device,
            lock: &self.lock,
        }
    }

    fn undo(&self, failure: Error) -> Error {
        match self.restore(false) {
            Ok(_) => failure,
            Err(source) => Error::NotUndone {
                device: self.device,
                failure: failure.into(),
                source: source.into(),
            },
        }
    }
}
