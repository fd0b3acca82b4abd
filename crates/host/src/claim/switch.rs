//! The way of a device from one driver to another.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::device::expect_vfio;
use crate::record::FormerState;
use crate::usage::HeldDisks;
use crate::{Device, Error, Host, sysfs, time_limit};

/// Right to change the driver of a claimed device.
///
/// Each write to sysfs has a time limit. A write that is stuck in the kernel keeps the lock of the
/// claim until the kernel is done, so that no other process changes the device meanwhile.
pub(crate) struct DriverSwitch<'a> {
    pub(crate) host: &'a Host,
    /// Lock of the device's claim.
    pub(crate) lock: &'a Arc<File>,
}

impl DriverSwitch<'_> {
    /// Moves a device to a driver that is there, and checks that it is on it, and that it is a VFIO
    /// driver.
    ///
    /// The device's disks are let go once they are gone: their names are free for another driver
    /// then.
    pub(crate) fn to_driver(
        &self,
        device: &Device,
        driver: &str,
        hold: HeldDisks,
    ) -> Result<(), Error> {
        self.set_override(device, Some(driver))?;
        self.detach(device, hold)?;
        self.bind(device, driver)?;
        let device = self.expect_driver(device, Some(driver))?;
        expect_vfio(&device, driver)?;
        self.await_node(&device)
    }

    /// Moves a device back to how it was; without `former`, to whatever driver the kernel picks.
    pub(crate) fn back(&self, device: &Device, former: Option<&FormerState>) -> Result<(), Error> {
        let wanted = former.and_then(|former| former.driver.as_deref());
        self.set_override(
            device,
            former.and_then(|former| former.driver_override.as_deref()),
        )?;
        if stays(device, former) {
            return Ok(());
        }
        self.detach(device, HeldDisks::default())?;
        match (former, wanted) {
            (None, _) => return self.probe(device),
            (Some(_), None) => {}
            (Some(_), Some(driver)) => {
                self.host.load_driver(driver)?;
                self.bind(device, driver)?;
            }
        }
        self.expect_driver(device, wanted).map(drop)
    }

    fn set_override(&self, device: &Device, driver: Option<&str>) -> Result<(), Error> {
        if device.driver_override.as_deref() == driver {
            return Ok(());
        }
        let path = self.host.pci(device.address).join("driver_override");
        self.write(
            device,
            path,
            &format!("{}\n", driver.unwrap_or_default()),
            HeldDisks::default(),
        )
    }

    /// Takes a device from its driver. Its disks are held until the kernel is done, however long it
    /// takes.
    fn detach(&self, device: &Device, hold: HeldDisks) -> Result<(), Error> {
        if device.driver.is_none() {
            return Ok(());
        }
        let path = self.host.pci(device.address).join("driver/unbind");
        self.write(device, path, &device.address.to_string(), hold)
    }

    /// Lets the kernel find a driver, with its module loaded if there is one.
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

    fn expect_driver(&self, device: &Device, wanted: Option<&str>) -> Result<Device, Error> {
        let device = self.host.device(device.address)?;
        if device.driver.as_deref() == wanted {
            return Ok(device);
        }
        let wanted = wanted.map(str::to_owned);
        Err(Error::NotTaken {
            device: device.address,
            wanted,
            now: device.driver,
        })
    }

    /// The kernel makes the node by itself, but udev may be the one that puts it in its place.
    fn await_node(&self, device: &Device) -> Result<(), Error> {
        let Some(node) = device.cdev.as_deref().map(|name| self.host.cdev_path(name)) else {
            return Ok(());
        };
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

    /// Writes to sysfs within the time limit. The lock and the disks are let go when the write has
    /// ended, which may be after the limit.
    fn write(
        &self,
        device: &Device,
        path: PathBuf,
        value: &str,
        hold: HeldDisks,
    ) -> Result<(), Error> {
        let limit = self.host.limit();
        let lock = Arc::clone(self.lock);
        let (to, text) = (path.clone(), value.to_owned());
        let written = time_limit::within(limit, move || {
            let written = sysfs::write(to, &text);
            drop((lock, hold));
            written
        });
        let value = value.trim_end().to_owned();
        match written {
            Ok(Some(written)) => written,
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
pub(crate) fn stays(device: &Device, former: Option<&FormerState>) -> bool {
    former.is_some_and(|former| former.driver == device.driver)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_tree::Tree;

    /// Blocks writes to a file until it is read: opening a FIFO waits for the other end.
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
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|target| target == path)
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
        assert_eq!(
            (*device, path.ends_with("driver/unbind")),
            (claim.device(), true)
        );
        // It is not undone: that would have to wait as well.
        let record = host.record(claim.device()).unwrap();
        assert_eq!(record.unwrap().former.driver.as_deref(), Some("nvme"));
        let set = std::fs::read_to_string(tree.path(&format!("{dir}/driver_override"))).unwrap();
        assert!(set.starts_with("vfio-pci\n"), "{set}");

        let device = claim.device();
        drop(claim);
        assert!(host.claim(device, Some("two")).is_err());
        assert!(is_open(&disk));
        assert_eq!(std::fs::read_to_string(unbind).unwrap(), "0000:01:00.0");
        let free = || host.owner(device).is_none() && !is_open(&disk);
        assert!(host.wait_until(Duration::from_secs(40), free));
    }

    #[test]
    fn a_device_that_is_on_a_driver_of_the_host_after_the_switch_is_not_on_vfio() {
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
            .to_driver(&before, "igb", HeldDisks::default())
            .unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    }
}
