//! Who has a device: the process with its lock, or the VMM that its record names.

use std::path::PathBuf;

use passthru_pci::Address;

use super::claim::Claim;
use super::lock::{LockError, lock_as, lock_owner};
use super::owner::Owner;
use crate::{Error, Host, ProcessId};

impl Host {
    /// Claims a device for a guest, or with `None` for a bind by hand.
    ///
    /// # Errors
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::HeldByVmm`], if the device's record names a VMM that may live.
    /// - [`Error::File`], if the lock file cannot be used.
    /// - [`Error::Read`] and the like, if the record cannot be read.
    pub fn claim(&self, device: Address, guest: Option<&str>) -> Result<Claim, Error> {
        let claim = self.lock(device, guest)?;
        match self.vmm_hold(device)? {
            Some(hold) => Err(hold.into()),
            None => Ok(claim),
        }
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
        let claim = self.lock(device, Some(guest))?;
        let record = self.record_of_any_boot(device)?;
        let is_of_vmm = record.is_some_and(|record| {
            record.guest.as_deref() == Some(guest) && record.vmm.as_ref() == Some(vmm)
        });
        if is_of_vmm {
            return Ok(claim);
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
        let owner = lock_owner(&self.lock_path(device)).ok().flatten();
        owner.or_else(|| self.vmm_hold(device).ok().flatten().map(Owner::from))
    }

    /// Checks that [`claim`](Self::claim) would succeed, as far as this process may look.
    ///
    /// # Errors
    /// [`Error::Claimed`] or [`Error::HeldByVmm`].
    pub(crate) fn check_unclaimed(&self, device: Address) -> Result<(), Error> {
        if let Ok(Some(owner)) = lock_owner(&self.lock_path(device)) {
            return Err(Error::Claimed { device, owner });
        }
        match self.vmm_hold(device) {
            Ok(Some(hold)) => Err(hold.into()),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Takes the lock of a device, whatever its record names.
    fn lock(&self, device: Address, guest: Option<&str>) -> Result<Claim, Error> {
        self.make_records()?;
        let path = self.lock_path(device);
        let owner = Owner {
            guest: guest.map(str::to_owned),
            pid: std::process::id(),
        };
        let lock = match lock_as(&path, &owner, self.wait() / 8) {
            Ok(lock) => lock,
            Err(LockError::Held(owner)) => return Err(Error::Claimed { device, owner }),
            Err(LockError::File { action, source }) => {
                return Err(Error::File {
                    action,
                    path,
                    source,
                });
            }
        };
        Ok(Claim::new(self.clone(), device, owner, lock))
    }

    fn lock_path(&self, device: Address) -> PathBuf {
        self.records().join(format!("{device}.lock"))
    }
}
