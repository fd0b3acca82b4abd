//! Claims: at any time, at most one process may change a device.
//!
//! A claim is a lock on `/run/passthru/devices/ADDRESS.lock`, and the file names the owner. The
//! lock ends with its process, however the process ends. The file is never removed: a lock on a
//! file that may be removed protects nothing.
//!
//! The claim of a guest outlives its process as long as the guest's VMM lives, which the device's
//! record names.

use std::fs::File;
use std::sync::Arc;

use passthru_pci::Address;

use super::owner::Owner;
use super::switch::DriverSwitch;
use crate::device::expect_vfio;
use crate::record::{FormerState, Record, VERSION, Validity};
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, Identity, ProcessId};

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
                identity: self.merged_identity(other.as_ref())?,
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

    /// Binds the device to a loaded driver, and releases `disks` once the device has left its
    /// former driver.
    ///
    /// The device's state is recorded first. If there is a record of a device that was taken and
    /// not given back, the state in that record is kept. If the device was bound by hand, that
    /// record counts again after the device is given back.
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
    pub(crate) fn bind(&self, driver: &str, disks: HeldDisks) -> Result<bool, Error> {
        Host::check_driver_name(driver)?;
        let device = self.host.device(self.device)?;
        let record = self.current_record(&device)?.and_then(Record::without_note);
        if device.driver.as_deref() == Some(driver) {
            expect_vfio(&device, driver)?;
            return self.take_over(record);
        }

        let identity = self.merged_identity(record.as_ref())?;
        let (former, earlier) = FormerState::before_taking(&device, record);
        self.host.write_record(&Record {
            earlier,
            identity,
            ..self.new_record(driver, former)
        })?;
        match self.switch().move_to_driver(&device, driver, disks) {
            Ok(()) => Ok(true),
            Err(failure @ Error::Stuck { .. }) => Err(failure),
            Err(failure) => Err(self.undo(failure)),
        }
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
        let Some(device) = self.await_device() else {
            return match self.host.record(self.device)? {
                Some(_) => Err(Error::Absent {
                    device: self.device,
                }),
                None => Ok(None),
            };
        };
        let record = self.current_record(&device)?.and_then(adjust);
        if device.on_vfio() || record.is_some() {
            let former = record.as_ref().map(|record| &record.former);
            if !force {
                self.host.check_virtual_functions(&device, former)?;
                self.await_holders()?;
            }
            self.switch().move_back(&device, former)?;
            if let Some(earlier) = record.and_then(|record| record.earlier) {
                self.host.write_record(&earlier)?;
                return Ok(self.host.device(self.device)?.driver);
            }
        }

        self.host.remove_record(self.device)?;
        Ok(self.host.device(self.device)?.driver)
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

    /// Returns the device's identity, with the serial numbers that an earlier record has.
    fn merged_identity(&self, record: Option<&Record>) -> Result<Option<Identity>, Error> {
        let identity = self.host.identity(self.device)?;
        let earlier = record.and_then(|record| record.identity.as_ref());
        Ok(Some(match earlier {
            Some(earlier) => identity.merged(earlier),
            None => identity,
        }))
    }

    /// Reads the device, and waits for a device that is absent for a moment, as in a reset.
    fn await_device(&self) -> Option<Device> {
        let mut device = None;
        self.host.wait_until(self.host.wait(), || {
            device = self.host.device(self.device).ok();
            device.is_some()
        });
        device
    }

    /// Waits for processes that have the device open and are about to end.
    fn await_holders(&self) -> Result<(), Error> {
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

    /// Takes over the record of a guest for a device that is on its VFIO driver already. Returns
    /// whether there is such a record.
    fn take_over(&self, record: Option<Record>) -> Result<bool, Error> {
        let Some(record) = record.filter(|record| record.guest.is_some()) else {
            return Ok(false);
        };
        let identity = self.merged_identity(Some(&record))?;
        self.host.write_record(&Record {
            earlier: record.earlier,
            identity,
            ..self.new_record(&record.driver, record.former)
        })?;
        Ok(true)
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
