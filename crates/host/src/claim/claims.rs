//! Who has a device: the process with its lock.

use std::path::PathBuf;

use passthru_pci::Address;

use super::claim::Claim;
use super::lock::{LockError, lock_as, lock_owner};
use super::owner::Owner;
use crate::{Error, Host};

impl Host {
    /// Claims a device for a guest, or with `None` for a bind by hand.
    ///
    /// # Errors
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::File`], if the lock file cannot be used.
    pub fn claim(&self, device: Address, guest: Option<&str>) -> Result<Claim, Error> {
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

    /// Returns the owner of a device's claim. Returns `None` if the device is not claimed, or if
    /// the lock file cannot be read.
    pub fn owner(&self, device: Address) -> Option<Owner> {
        lock_owner(&self.lock_path(device)).ok().flatten()
    }

    fn lock_path(&self, device: Address) -> PathBuf {
        self.records().join(format!("{device}.lock"))
    }
}
