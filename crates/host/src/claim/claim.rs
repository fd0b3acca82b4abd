//! Claims: one process at a time has a device.
//!
//! A claim is a lock on `/run/passthru/devices/ADDRESS.lock`, which names its owner. It ends with
//! its process, however that ends. The file itself stays: a lock on a file that may be removed
//! protects nothing.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use passthru_pci::Address;

use super::lock::{LockError, lock_as, lock_owner};
use super::owner::Owner;
use super::switch::DriverSwitch;
use crate::device::expect_vfio;
use crate::record::{FormerState, Record, VERSION, Validity};
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, Identity};

/// The right to change a device, for as long as this lives.
#[derive(Debug)]
pub struct Claim {
    host: Host,
    device: Address,
    owner: Owner,
    lock: Arc<File>,
}

impl Host {
    /// Claims a device for a guest, or with `None` for nobody in particular.
    ///
    /// # Errors
    /// [`Error::Claimed`] names who has it.
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
                    what: action,
                    path,
                    source,
                });
            }
        };
        Ok(Claim {
            host: self.clone(),
            device,
            owner,
            lock: Arc::new(lock),
        })
    }

    /// Returns who has a device now. `None` also where that cannot be seen.
    pub fn owner(&self, device: Address) -> Option<Owner> {
        lock_owner(&self.lock_path(device)).ok().flatten()
    }

    fn lock_path(&self, device: Address) -> PathBuf {
        self.records().join(format!("{device}.lock"))
    }
}

impl Claim {
    /// Returns the device that is claimed.
    pub fn device(&self) -> Address {
        self.device
    }

    /// Binds the device to a driver that is loaded, and lets go of its disks when it has left the
    /// one before. Its former state is recorded first. If it was taken before and not given back,
    /// the older record holds; one that was made until further notice holds again afterwards.
    /// Returns whether this claim's owner has to give the device back.
    ///
    /// # Errors
    /// [`Error::BadDriverName`] and [`Error::NotVfio`] for what is no VFIO driver. Everything is
    /// put back then; [`Error::NotUndone`] where that failed too, and the record stays.
    /// [`Error::Stuck`], of which nothing is undone: the record stays, and the claim until the
    /// kernel has ended the write.
    pub(crate) fn bind(&self, driver: &str, hold: HeldDisks) -> Result<bool, Error> {
        Host::check_driver_name(driver)?;
        let device = self.host.device(self.device)?;
        let record = self.current_record(&device)?;
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
        match self.switch().to_driver(&device, driver, hold) {
            Ok(()) => Ok(true),
            // The kernel is at it still: to undo it would wait for the same.
            Err(failure @ Error::Stuck { .. }) => Err(failure),
            Err(failure) => Err(self.undo(failure)),
        }
    }

    /// Puts the device back: to what its record says, else to the driver that the kernel finds for
    /// it. A device that was bound until further notice before is so again. A device that the host
    /// has already taken back is left alone. A record of another device, or one that the host has
    /// overtaken, is dropped. Returns the driver it is on then.
    ///
    /// While a process has the device open the kernel waits for it, without end. So that is an
    /// error, unless `force` is set: the kernel then asks the process to let go, and waits. Virtual
    /// functions of the device are an error too, which would vanish with its driver.
    ///
    /// # Errors
    /// [`Error::Held`]; [`Error::VirtualFunctions`]; [`Error::Away`]; what the kernel answered. The
    /// record stays then.
    pub fn restore(&self, force: bool) -> Result<Option<String>, Error> {
        self.go_back(|record| record, force)
    }

    /// Puts the device back as [`restore`](Self::restore) does, but to how it was before it was
    /// first taken.
    ///
    /// # Errors
    /// As there.
    pub fn release(&self, force: bool) -> Result<Option<String>, Error> {
        self.go_back(Record::whole_way, force)
    }

    fn go_back(&self, adjust: fn(Record) -> Record, force: bool) -> Result<Option<String>, Error> {
        let Some(device) = self.await_device() else {
            return match self.host.record(self.device)? {
                Some(_) => Err(Error::Away {
                    device: self.device,
                }),
                None => Ok(None),
            };
        };
        let record = self.current_record(&device)?.map(adjust);
        if device.on_vfio() || record.is_some() {
            let former = record.as_ref().map(|record| &record.former);
            if !force {
                self.host.check_virtual_functions(&device, former)?;
                self.await_holders()?;
            }
            self.switch().back(&device, former)?;
            if let Some(earlier) = record.and_then(|record| record.earlier) {
                self.host.write_record(&earlier)?;
                return Ok(self.host.device(self.device)?.driver);
            }
        }
        self.host.remove_record(self.device)?;
        Ok(self.host.device(self.device)?.driver)
    }

    /// Returns the record that counts for the device as it is now. One that does not is named and
    /// removed.
    fn current_record(&self, device: &Device) -> Result<Option<Record>, Error> {
        let Some(record) = self.host.record(self.device)? else {
            return Ok(None);
        };
        let identity = self.host.identity(self.device)?;
        let on = device.driver.as_deref().unwrap_or("no driver");
        match record.validity(device, &identity) {
            Validity::Valid => return Ok(Some(record)),
            Validity::DriverChanged => tracing::warn!(
                "{device}: the host has moved the device to {on} since it was bound to {driver}; \
                 its record is dropped",
                device = self.device,
                driver = record.driver,
            ),
            Validity::DeviceChanged => tracing::warn!(
                "{device} is another device now ({identity}) than the one that was taken ({former}); \
                 its record is dropped",
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

    /// Returns the device's identity with the serial numbers that an earlier record knows.
    fn merged_identity(&self, record: Option<&Record>) -> Result<Option<Identity>, Error> {
        let identity = self.host.identity(self.device)?;
        let earlier = record.and_then(|record| record.identity.as_ref());
        Ok(Some(match earlier {
            Some(earlier) => identity.merged(earlier),
            None => identity,
        }))
    }

    /// Returns the device. One that is away for a moment, as in a reset, gets the time to come
    /// back.
    fn await_device(&self) -> Option<Device> {
        let mut device = None;
        self.host.wait_until(self.host.wait(), || {
            device = self.host.device(self.device).ok();
            device.is_some()
        });
        device
    }

    /// Holders that are just ending get the time to do so.
    fn await_holders(&self) -> Result<(), Error> {
        let mut holders = Vec::new();
        let free = self.host.wait_until(self.host.wait(), || {
            let device = self.host.device(self.device);
            holders =
                device.map_or_else(|_| vec![], |device| self.host.vfio_holders(&device).usages);
            holders.is_empty()
        });
        if free {
            Ok(())
        } else {
            Err(Error::Held {
                device: self.device,
                holders,
            })
        }
    }

    /// The device is already where it should be: only the owner of the record changes.
    fn take_over(&self, record: Option<Record>) -> Result<bool, Error> {
        let Some(record) = record.filter(|record| record.guest.is_some()) else {
            return Ok(false);
        };
        let identity = self.merged_identity(Some(&record))?;
        let Record {
            driver,
            former,
            earlier,
            ..
        } = record;
        self.host.write_record(&Record {
            earlier,
            identity,
            ..self.new_record(&driver, former)
        })?;
        Ok(true)
    }

    pub(crate) fn new_record(&self, driver: &str, former: FormerState) -> Record {
        Record {
            version: VERSION,
            device: self.device,
            identity: self.host.identity(self.device).ok(),
            driver: driver.into(),
            former,
            guest: self.owner.guest.clone(),
            pid: self.owner.pid,
            boot_id: self.host.boot_id(),
            earlier: None,
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::test_tree::Tree;

    fn device() -> Address {
        "0000:01:00.0".parse().unwrap()
    }

    #[test]
    fn a_second_claim_names_the_owner_of_the_first() {
        let tree = Tree::new();
        let first = tree.host().claim(device(), Some("one")).unwrap();
        let error = tree.host().claim(device(), Some("two")).unwrap_err();
        let expected = format!(
            "0000:01:00.0 belongs to guest one (pid {})",
            std::process::id()
        );
        assert_eq!(error.to_string(), expected);
        drop(first);
        tree.host().claim(device(), Some("two")).unwrap();
    }

    #[test]
    fn a_claim_ends_with_its_process() {
        let tree = Tree::new();
        tree.host().make_records().unwrap();
        let lock = tree.path("run/passthru/devices/0000:01:00.0.lock");
        let script = "exec 9>\"$1\"; flock 9; echo '{\"guest\":\"other\",\"pid\":7}' >&9; echo; exec sleep 60";
        let mut command = Command::new("sh");
        let command = command
            .args(["-c", script, "sh"])
            .arg(&lock)
            .stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        holder
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0])
            .unwrap();
        let owner = Owner {
            guest: Some("other".into()),
            pid: 7,
        };
        assert_eq!(tree.host().owner(device()), Some(owner));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(tree.host().owner(device()), None);
    }

    #[test]
    fn looking_for_an_owner_disturbs_nobody_who_claims() {
        let tree = Tree::new();
        drop(tree.host().claim(device(), Some("one")).unwrap());
        let looking = File::open(tree.path("run/passthru/devices/0000:01:00.0.lock")).unwrap();
        let shared = rustix::fs::FlockOperation::NonBlockingLockShared;
        rustix::fs::flock(&looking, shared).unwrap();
        let host = tree.host().with_wait(std::time::Duration::from_secs(40));
        let waiting = std::thread::spawn(move || host.claim(device(), Some("two")).map(drop));
        std::thread::sleep(std::time::Duration::from_millis(30));
        drop(looking);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn record_of_a_device_that_is_away_is_kept() {
        let tree = Tree::new();
        let claim = tree.host().claim(device(), Some("one")).unwrap();
        assert_eq!(claim.restore(false).unwrap(), None);
        let former = FormerState {
            driver: None,
            driver_override: None,
        };
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former))
            .unwrap();
        let error = claim.restore(false).unwrap_err();
        assert!(matches!(error, Error::Away { .. }), "{error}");
        assert!(tree.host().record(device()).unwrap().is_some());
    }

    #[test]
    fn device_that_comes_back_in_time_is_given_back() {
        let (tree, _) = bound_by_hand();
        let link = tree.path("sys/bus/pci/devices/0000:01:00.0");
        let target = std::fs::read_link(&link).unwrap();
        std::fs::remove_file(&link).unwrap();
        let host = tree.host().with_wait(std::time::Duration::from_secs(40));
        let claim = host.claim(device(), Some("one")).unwrap();
        let back = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(30));
            std::os::unix::fs::symlink(target, link).unwrap();
        });
        let error = claim.restore(false).unwrap_err();
        back.join().unwrap();
        assert!(matches!(error, Error::NotTaken { wanted: Some(driver), .. } if driver == "igb"));
    }

    #[test]
    fn another_device_does_not_get_the_old_driver() {
        let (tree, record) = bound_by_hand();
        let other = Identity {
            device: 7,
            ..record.identity.clone().unwrap()
        };
        tree.host()
            .write_record(&Record {
                identity: Some(other),
                ..record
            })
            .unwrap();
        tree.file("sys/bus/pci/drivers_probe", "");
        let claim = tree.host().claim(device(), None).unwrap();
        claim.restore(false).unwrap();
        assert!(!is_bound_to(&tree, "igb"));
        let probed = std::fs::read_to_string(tree.path("sys/bus/pci/drivers_probe")).unwrap();
        assert_eq!(probed, "0000:01:00.0");
        assert_eq!(tree.host().record(device()).unwrap(), None);
    }

    #[test]
    fn device_that_the_host_moved_on_goes_back_to_where_it_is_now() {
        let (tree, _) = bound_by_hand();
        let driver = tree.path("sys/devices/pci/0000:01:00.0/driver");
        std::fs::remove_file(&driver).unwrap();
        tree.link(
            "sys/devices/pci/0000:01:00.0/driver",
            "../../../bus/pci/drivers/e1000e",
        );
        for file in ["e1000e/unbind", "e1000e/bind"] {
            tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
        }
        let request = crate::Request::managed(device());
        let change = tree.host().change(&request).unwrap().unwrap();
        assert_eq!(change.back.as_deref(), Some("e1000e"));
        let claim = tree.host().claim(device(), Some("guest")).unwrap();
        claim.bind("vfio-pci", HeldDisks::default()).unwrap_err();
        assert!(!is_bound_to(&tree, "igb"));
    }

    /// A device that was bound by hand: on `vfio-pci`, from `igb`. Nothing moves when its files are
    /// written.
    fn bound_by_hand() -> (Tree, Record) {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some("vfio-pci"), 1);
        tree.file(&format!("{dir}/driver_override"), "vfio-pci\n");
        for file in [
            "vfio-pci/unbind",
            "vfio-pci/bind",
            "mlx5_vfio_pci/bind",
            "igb/bind",
        ] {
            tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
        }
        let former = FormerState {
            driver: Some("igb".into()),
            driver_override: None,
        };
        let record = tree
            .host()
            .claim(device(), None)
            .unwrap()
            .new_record("vfio-pci", former);
        tree.host().write_record(&record).unwrap();
        (tree, record)
    }

    fn is_bound_to(tree: &Tree, driver: &str) -> bool {
        let bind = tree.path(&format!("sys/bus/pci/drivers/{driver}/bind"));
        !std::fs::read_to_string(bind).unwrap().is_empty()
    }

    #[test]
    fn what_was_bound_by_hand_is_so_again_after_a_guest_on_another_driver() {
        let (tree, by_hand) = bound_by_hand();
        let claim = tree.host().claim(device(), Some("guest")).unwrap();
        let error = claim
            .bind("mlx5_vfio_pci", HeldDisks::default())
            .unwrap_err();
        assert!(matches!(error, Error::NotTaken { .. }), "{error}");
        assert_eq!(tree.host().record(device()).unwrap(), Some(by_hand));
        assert!(is_bound_to(&tree, "mlx5_vfio_pci") && !is_bound_to(&tree, "igb"));
    }

    #[test]
    fn what_a_guest_left_of_a_device_bound_by_hand_is_released_to_the_driver_of_the_host() {
        let (tree, by_hand) = bound_by_hand();
        let claim = tree.host().claim(device(), Some("crashed")).unwrap();
        let host = tree.host();
        let (former, earlier) =
            FormerState::before_taking(&host.device(device()).unwrap(), Some(by_hand));
        host.write_record(&Record {
            earlier,
            ..claim.new_record("mlx5_vfio_pci", former)
        })
        .unwrap();
        let error = claim.release(false).unwrap_err();
        assert!(matches!(error, Error::NotTaken { wanted: Some(driver), .. } if driver == "igb"));
        assert!(is_bound_to(&tree, "igb"));
    }

    #[test]
    fn a_device_on_a_driver_of_the_host_is_not_touched() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        tree.place("0000:01:00.0", Some("igb"), 1);
        let claim = tree.host().claim(device(), None).unwrap();
        assert_eq!(claim.restore(false).unwrap().as_deref(), Some("igb"));
    }
}
