//! Moves of a device from one driver to another.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::device::expect_vfio;
use crate::record::FormerState;
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, sysfs, time_limit};

/// The right to change the driver of a claimed device.
///
/// Each write to sysfs has a time limit. A write that is stuck in the kernel keeps the lock of the
/// claim until the write ends. So no other process changes the device meanwhile.
pub(crate) struct DriverSwitch<'a> {
    pub(crate) host: &'a Host,
    /// Lock of the device's claim.
    pub(crate) lock: &'a Arc<File>,
}

impl DriverSwitch<'_> {
    /// Moves a device to a loaded driver, and checks that the device is on it, and that it is a
    /// VFIO driver.
    ///
    /// The held disks of the device are released after the unbind, when they no longer exist.
    pub(crate) fn move_to_driver(
        &self,
        device: &Device,
        driver: &str,
        disks: HeldDisks,
    ) -> Result<(), Error> {
        self.set_override(device, Some(driver))?;
        self.unbind(device, disks)?;
        self.bind(device, driver)?;
        let device = self.expect_driver(device, Some(driver))?;
        expect_vfio(&device, driver)?;
        self.await_node(&device)
    }

    /// Moves a device back to its former state; without `former`, to the driver that the kernel
    /// finds.
    pub(crate) fn move_back(
        &self,
        device: &Device,
        former: Option<&FormerState>,
    ) -> Result<(), Error> {
        let former_override = former.and_then(|former| former.driver_override.as_deref());
        self.set_override(device, former_override)?;
        if stays_on_driver(device, former) {
            return Ok(());
        }
        self.unbind(device, HeldDisks::default())?;
        let Some(former) = former else {
            return self.probe(device);
        };
        if let Some(driver) = &former.driver {
            self.host.load_driver(driver)?;
            self.bind(device, driver)?;
        }

        self.expect_driver(device, former.driver.as_deref())?;
        Ok(())
    }

    fn set_override(&self, device: &Device, driver: Option<&str>) -> Result<(), Error> {
        if device.driver_override.as_deref() == driver {
            return Ok(());
        }
        let path = self.host.pci(device.address).join("driver_override");
        let value = format!("{}\n", driver.unwrap_or_default());
        self.write(device, path, &value, HeldDisks::default())
    }

    /// Unbinds a device from its driver. Its disks are held until the write ends, however long that
    /// takes.
    fn unbind(&self, device: &Device, disks: HeldDisks) -> Result<(), Error> {
        if device.driver.is_none() {
            return Ok(());
        }
        let path = self.host.pci(device.address).join("driver/unbind");
        self.write(device, path, &device.address.to_string(), disks)
    }

    /// Makes the kernel find a driver, after loading the module for the device.
    fn probe(&self, device: &Device) -> Result<(), Error> {
        if let Some(modalias) = sysfs::read(self.host.pci(device.address).join("modalias")) {
            let answer = self.host.modprobe(&modalias);
            tracing::debug!(%modalias, answer, "modprobe");
        }

        let path = self.host.path("sys/bus/pci/drivers_probe");
        self.write(
            device,
            path,
            &device.address.to_string(),
            HeldDisks::default(),
        )
    }

    /// Reads the device again, and checks that it is on the wanted driver.
    fn expect_driver(&self, device: &Device, wanted: Option<&str>) -> Result<Device, Error> {
        let device = self.host.device(device.address)?;
        if device.driver.as_deref() == wanted {
            return Ok(device);
        }
        Err(Error::WrongDriver {
            device: device.address,
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
            device: device.address,
            node,
        })
    }

    fn bind(&self, device: &Device, driver: &str) -> Result<(), Error> {
        let path = self.host.pci_driver(driver).join("bind");
        self.write(
            device,
            path,
            &device.address.to_string(),
            HeldDisks::default(),
        )
    }

    /// Writes to sysfs with a time limit. The lock and the disks are released when the write ends,
    /// which may be after the limit.
    fn write(
        &self,
        device: &Device,
        path: PathBuf,
        value: &str,
        disks: HeldDisks,
    ) -> Result<(), Error> {
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
                device: device.address,
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

/// Returns whether a device that goes back to `former` is on that driver already.
pub(super) fn stays_on_driver(device: &Device, former: Option<&FormerState>) -> bool {
    former.is_some_and(|former| former.driver == device.driver)
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
        let before = tree.host().devices().remove(0);
        tree.place("0000:01:00.0", Some("igb"), 1);
        let host = tree.host();
        let lock = Arc::new(File::open("/dev/null").unwrap());
        let switch = DriverSwitch {
            host: &host,
            lock: &lock,
        };
        let error = switch
            .move_to_driver(&before, "igb", HeldDisks::default())
            .unwrap_err();

        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    }
}
