//! Claims of mediated devices: at any time, at most one guest has a device.

use std::fs::File;

use super::mediated_device::MediatedDevice;
use super::mediated_record::{MediatedRecord, VERSION};
use super::uuid::Uuid;
use crate::{Error, Host, ProcessId, UsageReport};

/// The exclusive right of a guest to a mediated device. The right ends when this value is dropped,
/// unless a VMM that may live has the device.
#[derive(Debug)]
pub struct MediatedClaim {
    host: Host,
    device: Uuid,
    guest: String,
    _lock: File,
}

impl Host {
    /// Claims a mediated device for a guest. The device stays on its driver.
    ///
    /// # Errors
    /// - [`Error::Claimed`] with the owner, if another process has claimed the device.
    /// - [`Error::HeldByVmm`], if the device's record names a VMM that may live.
    /// - [`Error::File`], if the lock file cannot be used.
    /// - [`Error::Read`] and the like, if the record cannot be read.
    pub fn claim_mediated(&self, device: Uuid, guest: &str) -> Result<MediatedClaim, Error> {
        let (_, lock) = self.lock_free(device.into(), Some(guest))?;
        Ok(MediatedClaim::new(self, device, guest, lock))
    }

    /// Claims a mediated device that the VMM of a guest has, for the successor of the guest's
    /// manager. The VMM may have ended meanwhile.
    ///
    /// # Errors
    /// - Those of [`claim_mediated`](Self::claim_mediated).
    /// - [`Error::NotHandedOver`], if the record does not name this guest and VMM.
    pub fn claim_mediated_again(
        &self,
        device: Uuid,
        guest: &str,
        vmm: &ProcessId,
    ) -> Result<MediatedClaim, Error> {
        let (_, lock) = self.lock_again(device.into(), guest, vmm)?;
        Ok(MediatedClaim::new(self, device, guest, lock))
    }
}

impl MediatedClaim {
    fn new(host: &Host, device: Uuid, guest: &str, lock: File) -> Self {
        Self {
            host: host.clone(),
            device,
            guest: guest.into(),
            _lock: lock,
        }
    }

    /// Returns the claimed device.
    pub fn device(&self) -> Uuid {
        self.device
    }

    /// Reports the processes that have the node of the device or of its group open.
    pub fn holders(&self, device: &MediatedDevice) -> UsageReport {
        self.host.mediated_device_holders(device)
    }

    /// Notes that the VMM of this claim's guest has the device. From then on, the guest's claim
    /// outlives this process as long as the VMM lives.
    ///
    /// # Errors
    /// [`Error::File`], if the record cannot be written.
    pub fn hand_over(&self, vmm: &ProcessId) -> Result<(), Error> {
        self.host.write_mediated_record(&MediatedRecord {
            version: VERSION,
            device: self.device,
            guest: self.guest.clone(),
            vmm: vmm.clone(),
        })
    }

    /// Removes that note, once the VMM no longer has the device.
    ///
    /// # Errors
    /// [`Error::File`], if the record cannot be removed.
    pub fn take_back(&self) -> Result<(), Error> {
        self.host.remove_record_of(self.device.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use crate::test_tree::Tree;

    fn uuid() -> Uuid {
        "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse().unwrap()
    }

    #[test]
    fn mediated_device_has_one_owner() {
        let tree = Tree::new();
        tree.proc();
        tree.process(42, 'S', 7700);
        let host = tree.host();
        let vmm = host.process(42).unwrap();
        let claim = host.claim_mediated(uuid(), "web").unwrap();
        let error = host.claim_mediated(uuid(), "db").unwrap_err();

        assert!(matches!(error, Error::Claimed { .. }), "{error}");

        claim.hand_over(&vmm).unwrap();
        drop(claim);
        for guest in ["web", "db"] {
            let error = host.claim_mediated(uuid(), guest).unwrap_err();
            let text = format!(
                "{} belongs to guest web, whose VMM (pid 42) may still run",
                uuid()
            );
            assert_eq!(error.to_string(), text);
        }

        let owner = Owner {
            guest: Some("web".into()),
            pid: 42,
        };
        assert_eq!(host.owner_of(uuid().into()), Some(owner));
        assert!(host.claim_mediated_again(uuid(), "db", &vmm).is_err());
        // The record is not that of a PCI device which was left.
        assert!(host.leftovers().unwrap().is_empty());

        let again = host.claim_mediated_again(uuid(), "web", &vmm).unwrap();
        again.take_back().unwrap();
        drop(again);
        assert_eq!(host.owner_of(uuid().into()), None);

        let error = host.claim_mediated_again(uuid(), "web", &vmm).unwrap_err();
        assert!(matches!(error, Error::NotHandedOver { .. }), "{error}");

        host.claim_mediated(uuid(), "db").unwrap();
    }

    #[test]
    fn dead_vmm_frees_its_mediated_device() {
        let tree = Tree::new();
        tree.proc();
        tree.process(42, 'S', 7700);
        let host = tree.host();
        let vmm = host.process(42).unwrap();
        let claim = host.claim_mediated(uuid(), "web").unwrap();
        claim.hand_over(&vmm).unwrap();
        drop(claim);
        tree.process(42, 'S', 7701);
        host.claim_mediated(uuid(), "db").unwrap();

        let record = format!("run/passthru/devices/{}.json", uuid());
        tree.file(&record, r#"{"version": 2}"#);
        let error = host.claim_mediated(uuid(), "db").unwrap_err();

        assert!(
            matches!(error, Error::NewerRecord { known: 1, .. }),
            "{error}"
        );
    }
}
