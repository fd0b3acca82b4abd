//! Moves of a device from one driver to another.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use passthru_pci::Address;

use crate::device::expect_vfio;
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, sysfs, time_limit};

/// The right to change the driver of a claimed device.
///
/// Each write to sysfs has a time limit. A write that is stuck in the kernel keeps the lock of the
/// claim until the write ends. So no other process changes the device meanwhile.
pub(crate) struct DriverSwitch<'a> {
    pub(crate) host: &'a Host,
    pub(crate) device: Address,
    /// Lock of the device's claim.
    pub(crate) lock: &'a Arc<File>,
}

impl DriverSwitch<'_> {
    pub(crate) fn set_override(&self, driver: Option<&str>) -> Result<(), Error> {
        let path = self.host.pci(self.device).join("driver_override");
        let value = format!("{}\n", driver.unwrap_or_default());
        self.write(path, &value, HeldDisks::default())
    }

    /// Unbinds the device from its driver. Its disks are held until the write ends, however long
    /// that takes.
    pub(crate) fn unbind(&self, disks: HeldDisks) -> Result<(), Error> {
        let path = self.host.pci(self.device).join("driver/unbind");
        self.write(path, &self.device.to_string(), disks)
    }

    /// Binds the device to a loaded driver, and checks that the device is on it, and that it is a
    /// VFIO driver. Waits for the device's node.
    pub(crate) fn bind(&self, driver: &str) -> Result<(), Error> {
        self.write_bind(driver)?;
        let device = self.expect_driver(Some(driver))?;
        expect_vfio(&device, driver)?;
        self.await_node(&device)
    }

    /// Binds the device to a driver that it had before, and checks that the device is on it.
    pub(crate) fn bind_back(&self, driver: &str) -> Result<(), Error> {
        self.host.load_driver(driver)?;
        self.write_bind(driver)?;
        self.expect_driver(Some(driver))?;
        Ok(())
    }

    /// Makes the kernel find a driver, after loading the module for the device.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        if let Some(modalias) = sysfs::read(self.host.pci(self.device).join("modalias")) {
            let answer = self.host.modprobe(&modalias);
            tracing::debug!(%modalias, answer, "modprobe");
        }

        let path = self.host.path("sys/bus/pci/drivers_probe");
        self.write(path, &self.device.to_string(), HeldDisks::default())
    }

    /// Reads the device again, and checks that it is on the wanted driver.
    pub(crate) fn expect_driver(&self, wanted: Option<&str>) -> Result<Device, Error> {
        let device = self.host.device(self.device)?;
        if device.driver.as_deref() == wanted {
            return Ok(device);
        }
        Err(Error::WrongDriver {
            device: self.device,
            wanted: wanted.map(str::to_owned),
            now: device.driver,
        })
    }

    /// Waits for the device's VFIO node, which udev may have to create.
    fn await_node(&self, device: &Device) -> Result<(), Error> {
        let Some(name) = &device.cdev else {
            return Ok(());
        };
        let node = self.host.cdev_path(name);
        if self.host.wait_until(self.host.wait(), || node.exists()) {
            return Ok(());
        }
        Err(Error::NoNode {
            device: self.device,
            node,
        })
    }

    fn write_bind(&self, driver: &str) -> Result<(), Error> {
        let path = self.host.pci_driver(driver).join("bind");
        self.write(path, &self.device.to_string(), HeldDisks::default())
    }

    /// Writes to sysfs with a time limit. The lock and the disks are released when the write ends,
    /// which may be after the limit.
    fn write(&self, path: PathBuf, value: &str, disks: HeldDisks) -> Result<(), Error> {
        let limit = self.host.limit();
        let lock = Arc::clone(self.lock);
        let file = path.clone();
        let text = value.to_owned();
        let result = time_limit::within(limit, move || {
            let result = sysfs::write(file, &text);
            drop((lock, disks));
            result
        });
        let value = value.trim_end().to_owned();
        match result {
            Ok(Some(result)) => result,
            Ok(None) => Err(Error::Stuck {
                device: self.device,
                path,
                value,
                limit,
            }),
            Err(source) => Err(Error::Write {
                path,
                value,
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_tree::Tree;

    /// Replaces a file by a FIFO, so that a write waits until the file is read.
    fn block(tree: &Tree, path: &str) -> PathBuf {
        let path = tree.path(path);
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        path
    }

    /// Returns whether this process has a file open.
    fn is_open(path: &std::path::Path) -> bool {
        let mut fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == path))
    }

    #[test]
    fn stuck_unbind_keeps_the_claim_and_the_disks() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        let dir = tree.pci("0000:01:00.0", 0x010802);
        tree.place("0000:01:00.0", Some("nvme"), 1);
        tree.file(&format!("{dir}/driver_override"), "(null)\n");
        tree.file("sys/bus/pci/drivers/vfio-pci/bind", "");
        tree.block(&format!("{dir}/nvme/nvme0/nvme0n1"), "259:0");
        let unbind = block(&tree, "sys/bus/pci/drivers/nvme/unbind");
        let host = tree.host().with_limit(Duration::from_millis(50));
        let claim = host.claim("01:00.0".parse().unwrap(), Some("one")).unwrap();

        let disk = std::fs::canonicalize(tree.path("dev/nvme0n1")).unwrap();
        let hold = host
            .survey()
            .hold_disks(&host.device(claim.device()).unwrap());

        assert!(is_open(&disk));

        let error = claim.bind("vfio-pci", hold).unwrap_err();
        let Error::Stuck { device, path, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*device, claim.device());
        assert!(path.ends_with("driver/unbind"));

        // Nothing is undone, since an undo would wait too.
        let record = host.record(claim.device()).unwrap();
        assert_eq!(record.unwrap().former.driver.as_deref(), Some("nvme"));

        let set = std::fs::read_to_string(tree.path(&format!("{dir}/driver_override"))).unwrap();
        assert!(set.starts_with("vfio-pci\n"), "{set}");

        let device = claim.device();
        drop(claim);
        assert!(host.claim(device, Some("two")).is_err());
        assert!(is_open(&disk));
        assert_eq!(std::fs::read_to_string(unbind).unwrap(), "0000:01:00.0");

        let is_free = host.wait_until(Duration::from_secs(40), || {
            host.owner(device).is_none() && !is_open(&disk)
        });
        assert!(is_free);
    }

    #[test]
    fn switch_to_a_host_driver_fails() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.file(&format!("{dir}/driver_override"), "(null)\n");
        tree.file("sys/bus/pci/drivers/igb/bind", "");
        tree.place("0000:01:00.0", Some("igb"), 1);
        let host = tree.host();
        let lock = Arc::new(File::open("/dev/null").unwrap());
        let switch = DriverSwitch {
            host: &host,
            device: "01:00.0".parse().unwrap(),
            lock: &lock,
        };
        let error = switch.bind("igb").unwrap_err();

        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    }
}
