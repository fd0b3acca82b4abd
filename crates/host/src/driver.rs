//! Drivers: which one a device should have for VFIO, and how a device is moved from one to another.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::uses::Hold;
use crate::{Device, Error, Host, alias, record::Former, sysfs};

impl Host {
    /// Returns the VFIO driver for a device: the variant driver made for it (`mlx5_vfio_pci`, …) where the kernel
    /// has one, else `vfio-pci`.
    pub fn vfio_driver(&self, device: &Device) -> String {
        match alias::vfio_module(self, device) {
            Some(module) if module != "vfio_pci" => module,
            _ => "vfio-pci".into(),
        }
    }

    /// Accepts what can be the name of a driver that is asked for: no path, and no other file of sysfs.
    ///
    /// # Errors
    /// [`Error::BadDriverName`].
    pub(crate) fn check_driver_name(driver: &str) -> Result<(), Error> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !driver.is_empty() && driver.bytes().all(is_fit) {
            return Ok(());
        }
        Err(Error::BadDriverName { driver: driver.into() })
    }

    /// Loads a driver's module where the driver is not there.
    ///
    /// # Errors
    /// [`Error::NoDriver`] with what `modprobe` said.
    pub(crate) fn load_driver(&self, driver: &str) -> Result<(), Error> {
        let loaded = || self.pci_driver(driver).exists();
        if loaded() {
            return Ok(());
        }
        let answer = self.modprobe(driver);
        if loaded() { Ok(()) } else { Err(Error::NoDriver { driver: driver.into(), answer }) }
    }

    /// Runs the program that the kernel itself would run, and returns what it said.
    pub(crate) fn modprobe(&self, module: &str) -> String {
        let program = sysfs::read(self.path("proc/sys/kernel/modprobe")).filter(|path| !path.is_empty());
        let Some(program) = program else { return "this kernel cannot load modules".into() };
        match Command::new(program).arg("--").arg(module).stdin(Stdio::null()).output() {
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Moves a device to a driver that is there, and checks that it is on it, and that it is a VFIO driver.
    pub(crate) fn switch(&self, device: &Device, driver: &str, hold: Hold) -> Result<(), Error> {
        self.set_override(device, Some(driver))?;
        self.detach(device)?;
        drop(hold); // of disks that are no more: their names are free again when a driver is back
        sysfs::write(self.pci_driver(driver).join("bind"), &device.address.to_string())?;
        let device = self.expect_driver(device, Some(driver))?;
        expect_vfio(&device, driver)?;
        self.await_node(&device)
    }

    /// Moves a device back to how it was; without `former`, to whatever driver the kernel picks.
    pub(crate) fn switch_back(&self, device: &Device, former: Option<&Former>) -> Result<(), Error> {
        let wanted = former.and_then(|former| former.driver.as_deref());
        self.set_override(device, former.and_then(|former| former.driver_override.as_deref()))?;
        if former.is_some() && device.driver.as_deref() == wanted {
            return Ok(());
        }
        self.detach(device)?;
        match (former, wanted) {
            (None, _) => return self.probe(device),
            (Some(_), None) => {}
            (Some(_), Some(driver)) => {
                self.load_driver(driver)?;
                sysfs::write(self.pci_driver(driver).join("bind"), &device.address.to_string())?;
            }
        }
        self.expect_driver(device, wanted).map(drop)
    }

    fn set_override(&self, device: &Device, driver: Option<&str>) -> Result<(), Error> {
        if device.driver_override.as_deref() == driver {
            return Ok(());
        }
        let path = self.pci(device.address).join("driver_override");
        sysfs::write(path, &format!("{}\n", driver.unwrap_or_default()))
    }

    /// Takes a device from its driver.
    fn detach(&self, device: &Device) -> Result<(), Error> {
        if device.driver.is_none() {
            return Ok(());
        }
        let path = self.pci(device.address).join("driver/unbind");
        sysfs::write(path, &device.address.to_string())
    }

    /// Lets the kernel find a driver, with its module loaded if there is one.
    fn probe(&self, device: &Device) -> Result<(), Error> {
        if let Some(modalias) = sysfs::read(self.pci(device.address).join("modalias")) {
            let answer = self.modprobe(&modalias);
            tracing::debug!(%modalias, answer, "modprobe");
        }
        sysfs::write(self.path("sys/bus/pci/drivers_probe"), &device.address.to_string())
    }

    fn expect_driver(&self, device: &Device, wanted: Option<&str>) -> Result<Device, Error> {
        let device = self.device(device.address)?;
        if device.driver.as_deref() == wanted {
            return Ok(device);
        }
        let wanted = wanted.map(str::to_owned);
        Err(Error::NotTaken { device: device.address, wanted, now: device.driver })
    }

    /// The kernel makes the node by itself, but udev may be the one that puts it in its place.
    fn await_node(&self, device: &Device) -> Result<(), Error> {
        let Some(node) = device.cdev.as_deref().map(|name| self.cdev_path(name)) else { return Ok(()) };
        match self.wait_until(self.wait(), || node.exists()) {
            true => Ok(()),
            false => Err(Error::NoNode { device: device.address, node }),
        }
    }

    /// Asks until the answer is yes, or the time is up. Returns the last answer.
    pub(crate) fn wait_until(&self, time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + time;
        loop {
            if is_so() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Says whether a device on that driver is on a VFIO driver: nobody knows before it is.
pub(crate) fn expect_vfio(device: &Device, driver: &str) -> Result<(), Error> {
    match device.on_vfio() {
        true => Ok(()),
        false => Err(Error::NotVfio { device: device.address, driver: driver.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn a_driver_has_a_name_and_no_path() {
        for name in ["vfio-pci", "mlx5_vfio_pci", "e1000e"] {
            Host::check_driver_name(name).unwrap();
        }
        for name in ["", "..", "../../../../etc", "a/b", "a b", "a\n", "é"] {
            assert!(matches!(Host::check_driver_name(name), Err(Error::BadDriverName { .. })), "{name}");
        }
    }

    #[test]
    fn a_device_that_is_on_a_driver_of_the_host_after_the_switch_is_not_on_vfio() {
        let tree = Tree::new();
        let dir = tree.pci("0000:01:00.0", 0x020000);
        tree.file(&format!("{dir}/driver_override"), "(null)\n");
        tree.file("sys/bus/pci/drivers/igb/bind", "");
        let before = tree.host().devices().remove(0);
        tree.place("0000:01:00.0", Some("igb"), 1);
        let error = tree.host().switch(&before, "igb", Hold::default()).unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    }

    #[test]
    fn without_a_variant_it_is_vfio_pci() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        assert_eq!(tree.host().vfio_driver(&tree.host().devices()[0]), "vfio-pci");
    }

    #[test]
    fn a_driver_that_is_there_is_not_loaded() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/modprobe", "/no/such/program\n");
        tree.dir("sys/bus/pci/drivers/vfio-pci");
        tree.host().load_driver("vfio-pci").unwrap();
    }

    #[test]
    fn a_driver_that_cannot_be_loaded_comes_with_the_answer() {
        let tree = Tree::new();
        tree.file("modprobe", "#!/bin/sh\necho \"no module $2\" >&2\n");
        fs::set_permissions(tree.path("modprobe"), fs::Permissions::from_mode(0o755)).unwrap();
        tree.file("proc/sys/kernel/modprobe", tree.path("modprobe").to_str().unwrap());
        let error = tree.host().load_driver("vfio-pci").unwrap_err();
        assert_eq!(error.to_string(), "no PCI driver 'vfio-pci' on this host: no module vfio-pci");
    }
}
