//! The hold of a VMM on a device, which outlives the manager of the VMM's guest.

use super::owner::Owner;
use crate::{DeviceId, Error, Host, ProcessId};

/// The hold of a guest's VMM on a device, by the device's record.
#[derive(Debug)]
pub(super) struct VmmHold {
    device: DeviceId,
    guest: String,
    pid: u32,
}

/// The VMM that the record of a device names.
#[derive(Debug)]
pub(super) struct NotedVmm {
    pub(super) guest: String,
    pub(super) process: ProcessId,
}

impl Host {
    /// Returns the VMM that has a device and may live.
    ///
    /// The result is certain only while the caller has the device's lock: the manager of a guest
    /// notes the VMM in the record.
    ///
    /// # Errors
    /// [`Error::Read`] and the like, if the record cannot be read.
    pub(super) fn vmm_hold(&self, device: DeviceId) -> Result<Option<VmmHold>, Error> {
        let noted = self.noted_vmm(device)?;
        let living = noted.filter(|noted| self.may_live(&noted.process));
        Ok(living.map(|noted| VmmHold {
            device,
            guest: noted.guest,
            pid: noted.process.pid,
        }))
    }

    /// Returns the VMM that the record of a device names.
    pub(super) fn noted_vmm(&self, device: DeviceId) -> Result<Option<NotedVmm>, Error> {
        // Without a boot id, records of this boot cannot be told from others.
        let (guest, process) = match device {
            DeviceId::Pci(address) => match self.record_of_any_boot(address)? {
                Some(record) => (record.guest, record.vmm),
                None => return Ok(None),
            },
            DeviceId::Mdev(uuid) => match self.mediated_record(uuid)? {
                Some(record) => (Some(record.guest), Some(record.vmm)),
                None => return Ok(None),
            },
        };
        Ok(process.map(|process| NotedVmm {
            guest: guest.unwrap_or_default(),
            process,
        }))
    }
}

impl From<VmmHold> for Error {
    fn from(hold: VmmHold) -> Self {
        Self::HeldByVmm {
            device: hold.device,
            guest: hold.guest,
            pid: hold.pid,
        }
    }
}

impl From<VmmHold> for Owner {
    fn from(hold: VmmHold) -> Self {
        Self {
            guest: Some(hold.guest),
            pid: hold.pid,
        }
    }
}

#[cfg(test)]
mod tests {
    use passthru_pci::Address;

    use super::*;
    use crate::test_tree::Tree;
    use crate::usage::HeldDisks;
    use crate::{FormerState, Leftover, LeftoverState, Record, Request, Usage};

    fn nic() -> Address {
        "0000:02:00.0".parse().unwrap()
    }

    /// Makes a host with a NIC on `vfio-pci`, and process 42.
    fn host() -> (Tree, ProcessId) {
        let tree = Tree::new();
        tree.proc();
        tree.process(42, 'S', 7700);
        let dir = tree.pci("0000:02:00.0", 0x020000);
        tree.place("0000:02:00.0", Some("vfio-pci"), 2);
        tree.file(&format!("{dir}/driver_override"), "vfio-pci\n");
        let vmm = tree.host().process(42).unwrap();
        (tree, vmm)
    }

    /// Hands the NIC over to the VMM of guest `web`, whose manager ends then.
    fn hand_over(tree: &Tree, vmm: &ProcessId) {
        let claim = tree.host().claim(nic(), Some("web")).unwrap();
        claim.hand_over(vmm).unwrap();
    }

    /// Writes the record of a device that was taken from `igb`.
    fn record(tree: &Tree, guest: Option<&str>) -> Record {
        let host = tree.host();
        let claim = host.claim(nic(), guest).unwrap();
        let former = FormerState {
            driver: Some("igb".into()),
            driver_override: None,
        };
        let record = claim.new_record("vfio-pci", former);
        host.write_record(&record).unwrap();
        record
    }

    fn end_vmm(tree: &Tree) {
        std::fs::remove_dir_all(tree.path("proc/42")).unwrap();
    }

    #[test]
    fn living_vmm_keeps_its_claim() {
        let (tree, vmm) = host();
        let host = tree.host();
        record(&tree, Some("web"));
        hand_over(&tree, &vmm);
        for guest in [Some("db"), Some("web"), None] {
            let error = host.claim(nic(), guest).unwrap_err();
            assert_eq!(
                error.to_string(),
                "0000:02:00.0 belongs to guest web, whose VMM (pid 42) may still run"
            );
        }

        let owner = Owner {
            guest: Some("web".into()),
            pid: 42,
        };
        let usages = host.usage_report(&host.device(nic()).unwrap()).usages;

        assert_eq!(usages, [Usage::from(owner.clone())]);
        assert_eq!(host.owner(nic()), Some(owner));
        assert!(host.leftovers().unwrap().is_empty());

        for force in [false, true] {
            let error = host.release(&[nic()], force).unwrap_err();
            assert!(matches!(error, Error::HeldByVmm { .. }), "{error}");
        }

        let error = host.check(&[Request::unmanaged(nic())]).unwrap_err();
        assert!(matches!(error, Error::HeldByVmm { .. }), "{error}");
    }

    #[test]
    fn vmm_that_cannot_be_seen_keeps_its_claim() {
        let (tree, vmm) = host();
        hand_over(&tree, &vmm);
        end_vmm(&tree);
        std::fs::remove_dir_all(tree.path("proc/self")).unwrap();

        assert!(tree.host().claim(nic(), None).is_err());

        // Without a boot id, the record may be of this boot.
        tree.file("proc/sys/kernel/random/boot_id", "");
        assert!(tree.host().claim(nic(), None).is_err());

        tree.file("proc/sys/kernel/random/boot_id", "next-boot\n");
        tree.host().claim(nic(), None).unwrap();
    }

    #[test]
    fn dead_vmm_frees_its_device() {
        let (tree, vmm) = host();
        let host = tree.host();
        let taken = record(&tree, Some("web"));
        hand_over(&tree, &vmm);
        end_vmm(&tree);

        assert_eq!(host.owner(nic()), None);
        assert_eq!(
            host.leftovers().unwrap(),
            [Leftover {
                device: nic(),
                guest: Some("web".into()),
                state: LeftoverState::Bound,
            }]
        );

        let claim = host.claim(nic(), Some("db")).unwrap();
        assert!(claim.bind("vfio-pci", HeldDisks::default()).unwrap());

        let record = host.record(nic()).unwrap().unwrap();
        assert_eq!((record.vmm, record.former), (None, taken.former));
    }

    #[test]
    fn successor_claims_again() {
        let (tree, vmm) = host();
        let host = tree.host();
        let taken = record(&tree, Some("web"));
        hand_over(&tree, &vmm);
        let claim = host.claim_again(nic(), "web", &vmm).unwrap();
        let error = host.claim_again(nic(), "web", &vmm).unwrap_err();

        assert!(matches!(error, Error::Claimed { .. }), "{error}");

        claim.hand_over(&vmm).unwrap();
        claim.take_back().unwrap();
        claim.take_back().unwrap();
        assert_eq!(host.record(nic()).unwrap(), Some(taken));

        drop(claim);
        let error = host.claim_again(nic(), "web", &vmm).unwrap_err();
        assert!(matches!(error, Error::NotHandedOver { .. }), "{error}");

        host.claim(nic(), Some("db")).unwrap();
    }

    #[test]
    fn claim_again_of_another_guest_is_refused() {
        let (tree, vmm) = host();
        hand_over(&tree, &vmm);
        let other = ProcessId {
            start_time: 7701,
            ..vmm.clone()
        };
        for (guest, vmm) in [("db", &vmm), ("web", &other)] {
            let error = tree.host().claim_again(nic(), guest, vmm).unwrap_err();
            assert!(matches!(error, Error::HeldByVmm { pid: 42, .. }), "{error}");
        }

        end_vmm(&tree);
        let error = tree.host().claim_again(nic(), "web", &other).unwrap_err();

        assert!(matches!(error, Error::NotHandedOver { .. }), "{error}");

        tree.host().claim_again(nic(), "web", &vmm).unwrap();
    }

    #[test]
    fn note_on_an_unmanaged_device_leaves_no_trace() {
        let (tree, vmm) = host();
        let host = tree.host();
        for before in [None, Some(None), Some(Some("crashed"))] {
            let before = before.map(|guest| record(&tree, guest));
            for dead in 0..3 {
                // Each manager dies with its VMM, and leaves its note.
                let vmm = ProcessId {
                    start_time: dead,
                    ..vmm.clone()
                };
                hand_over(&tree, &vmm);
                assert_eq!(host.owner(nic()), None);
            }

            let left = host.leftovers().unwrap();
            let by: Vec<_> = left.iter().map(|left| left.guest.as_deref()).collect();
            let is_crashed = before.as_ref().is_some_and(|record| record.guest.is_some());
            assert_eq!(by, Vec::from_iter(is_crashed.then_some(Some("crashed"))));

            let change = host.change(&Request::managed(nic())).unwrap().unwrap();
            let back = if is_crashed { "igb" } else { "vfio-pci" };
            assert_eq!(change.back.as_deref(), Some(back));

            let claim = host.claim(nic(), Some("db")).unwrap();
            claim.hand_over(&vmm).unwrap();
            claim.take_back().unwrap();
            assert_eq!(host.record(nic()).unwrap(), before);
            host.remove_record(nic()).unwrap();
        }
    }

    #[test]
    fn record_of_a_taken_device_is_not_a_note() {
        let (tree, vmm) = host();
        let host = tree.host();
        let claim = host.claim(nic(), Some("web")).unwrap();
        let former = FormerState {
            driver: Some("vfio-pci".into()),
            driver_override: None,
        };
        let left = FormerState {
            driver: Some("mlx5_vfio_pci".into()),
            driver_override: None,
        };
        let taken = Record {
            left: Some(left),
            ..claim.new_record("vfio-pci", former)
        };
        host.write_record(&taken).unwrap();

        claim.hand_over(&vmm).unwrap();

        assert_eq!(host.record(nic()).unwrap().unwrap().left, taken.left);

        claim.take_back().unwrap();
        assert_eq!(host.record(nic()).unwrap().unwrap().former, taken.former);
    }

    #[test]
    fn release_skips_the_note_of_a_dead_vmm() {
        let (tree, vmm) = host();
        for file in ["vfio-pci/unbind", "igb/bind"] {
            tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
        }
        record(&tree, None);
        hand_over(&tree, &vmm);
        end_vmm(&tree);

        // Writes to the files of a tree move nothing.
        let error = tree.host().release(&[nic()], false).unwrap_err();

        assert!(
            matches!(&error, Error::WrongDriver { wanted: Some(driver), .. } if driver == "igb"),
            "{error}"
        );

        let bound = std::fs::read_to_string(tree.path("sys/bus/pci/drivers/igb/bind")).unwrap();
        assert_eq!(bound, nic().to_string());
    }

    #[test]
    fn device_without_guest_or_vfio_is_not_handed_over() {
        let (tree, vmm) = host();
        let by_hand = tree.host().claim(nic(), None).unwrap();
        let error = by_hand.hand_over(&vmm).unwrap_err();
        assert!(matches!(error, Error::NoGuest { .. }), "{error}");

        drop(by_hand);

        std::fs::remove_file(tree.path("sys/devices/pci/0000:02:00.0/driver")).unwrap();
        let claim = tree.host().claim(nic(), Some("web")).unwrap();
        let error = claim.hand_over(&vmm).unwrap_err();
        assert!(matches!(error, Error::NotOnVfio { .. }), "{error}");
        assert_eq!(tree.host().record(nic()).unwrap(), None);
    }
}
