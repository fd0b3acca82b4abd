//! Who has a device: the process with its lock, or the VMM that its record names.

use std::fs::File;
use std::path::PathBuf;

use passthru_pci::Address;

use super::claim::Claim;
use super::lock::{LockError, lock_as, lock_owner};
use super::owner::Owner;
use crate::{DeviceId, Error, Host, ProcessId};

impl Host {
    /// Claims a device for a guest, or with `None` for a bind by hand.
    ///
    /// # Errors
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::HeldByVmm`], if the device's record names a VMM that may live.
    /// - [`Error::File`], if the lock file cannot be used.
    /// - [`Error::Read`] and the like, if the record cannot be read.
    pub fn claim(&self, device: Address, guest: Option<&str>) -> Result<Claim, Error> {
        let (owner, lock) = self.lock_free(device.into(), guest)?;
        Ok(Claim::new(self.clone(), device, owner, lock))
    }

    /// Claims a device that the VMM of a guest has, for the successor of the guest's manager.
    ///
    /// The VMM may have ended meanwhile.
    ///
    /// # Errors
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::HeldByVmm`], if the record names another guest or process, which may live.
    /// - [`Error::NotHandedOver`], if the record names neither.
    /// - [`Error::File`], if the lock file cannot be used.
    /// - [`Error::Read`] and the like, if the record cannot be read.
    pub fn claim_again(
        &self,
        device: Address,
        guest: &str,
        vmm: &ProcessId,
    ) -> Result<Claim, Error> {
        let (owner, lock) = self.lock_again(device.into(), guest, vmm)?;
        Ok(Claim::new(self.clone(), device, owner, lock))
    }

    /// Takes the lock of a device, unless a VMM has the device.
    pub(crate) fn lock_free(
        &self,
        device: DeviceId,
        guest: Option<&str>,
    ) -> Result<(Owner, File), Error> {
        let locked = self.lock(device, guest)?;
        match self.vmm_hold(device)? {
            Some(hold) => Err(hold.into()),
            None => Ok(locked),
        }
    }

    /// Takes the lock of a device that the VMM of a guest has.
    pub(crate) fn lock_again(
        &self,
        device: DeviceId,
        guest: &str,
        vmm: &ProcessId,
    ) -> Result<(Owner, File), Error> {
        let locked = self.lock(device, Some(guest))?;
        let noted = self.noted_vmm(device)?;
        if noted.is_some_and(|noted| noted.guest == guest && noted.process == *vmm) {
            return Ok(locked);
        }
        match self.vmm_hold(device)? {
            Some(hold) => Err(hold.into()),
            None => Err(Error::NotHandedOver {
                device,
                guest: guest.into(),
                pid: vmm.pid,
            }),
        }
    }

    /// Returns the owner of a device: the process that has claimed it, else the VMM that its record
    /// names and that may live. Returns `None` if the device has neither, or if its lock file and
    /// its record cannot be read.
    pub fn owner(&self, device: Address) -> Option<Owner> {
        self.owner_of(device.into())
    }

    /// Returns the owner of a device of any kind, as [`owner`](Self::owner) does.
    pub fn owner_of(&self, device: DeviceId) -> Option<Owner> {
        let owner = lock_owner(&self.lock_path(device)).ok().flatten();
        owner.or_else(|| self.vmm_hold(device).ok().flatten().map(Owner::from))
    }

    /// Checks that [`claim`](Self::claim) would succeed, as far as this process may look.
    ///
    /// # Errors
    /// [`Error::Claimed`] or [`Error::HeldByVmm`].
    pub(crate) fn check_unclaimed(&self, device: DeviceId) -> Result<(), Error> {
        if let Ok(Some(owner)) = lock_owner(&self.lock_path(device)) {
            return Err(Error::Claimed { device, owner });
        }
        match self.vmm_hold(device) {
            Ok(Some(hold)) => Err(hold.into()),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Takes the lock of a device, whatever its record names.
    fn lock(&self, device: DeviceId, guest: Option<&str>) -> Result<(Owner, File), Error> {
        self.make_records()?;
        let path = self.lock_path(device);
        let owner = Owner {
            guest: guest.map(str::to_owned),
            pid: std::process::id(),
        };
        match lock_as(&path, &owner, self.wait() / 8) {
            Ok(lock) => Ok((owner, lock)),
            Err(LockError::Held(owner)) => Err(Error::Claimed { device, owner }),
            Err(LockError::File { action, source }) => Err(Error::File {
                action,
                path,
                source,
            }),
        }
    }

    fn lock_path(&self, device: DeviceId) -> PathBuf {
        self.records().join(format!("{device}.lock"))
    }
}
