//! Drivers: which one a device should have for VFIO, and how it is loaded.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::modalias;
use crate::{Device, Error, Host, sysfs, time_limit};

impl Host {
    /// Returns the VFIO driver for a device: the variant driver made for it (`mlx5_vfio_pci`, …)
    /// where the kernel has one, else `vfio-pci`.
    pub fn vfio_driver(&self, device: &Device) -> String {
        match modalias::vfio_module(self, device) {
            Some(module) if module != "vfio_pci" => module,
            _ => "vfio-pci".into(),
        }
    }

    /// Accepts what can be the name of a driver that is asked for: no path, and no other file of
    /// sysfs.
    ///
    /// # Errors
    /// [`Error::BadDriverName`].
    pub(crate) fn check_driver_name(driver: &str) -> Result<(), Error> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !driver.is_empty() && driver.bytes().all(is_fit) {
            return Ok(());
        }
        Err(Error::BadDriverName {
            driver: driver.into(),
        })
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
        if loaded() {
            Ok(())
        } else {
            Err(Error::NoDriver {
                driver: driver.into(),
                answer,
            })
        }
    }

    /// Runs the program that the kernel itself would run, and returns what it said.
    pub(crate) fn modprobe(&self, module: &str) -> String {
        let program =
            sysfs::read(self.path("proc/sys/kernel/modprobe")).filter(|path| !path.is_empty());
        let Some(program) = program else {
            return "this kernel cannot load modules".into();
        };
        time_limit::run(self.limit(), &program, &["--", module])
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
    if device.on_vfio() {
        Ok(())
    } else {
        Err(Error::NotVfio {
            device: device.address,
            driver: driver.into(),
        })
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
            assert!(
                matches!(
                    Host::check_driver_name(name),
                    Err(Error::BadDriverName { .. })
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn without_a_variant_it_is_vfio_pci() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        assert_eq!(
            tree.host().vfio_driver(&tree.host().devices()[0]),
            "vfio-pci"
        );
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
        tree.file(
            "proc/sys/kernel/modprobe",
            tree.path("modprobe").to_str().unwrap(),
        );
        let error = tree.host().load_driver("vfio-pci").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no PCI driver 'vfio-pci' on this host: no module vfio-pci"
        );
    }

    #[test]
    fn module_loader_gets_no_environment_of_the_caller() {
        let tree = Tree::new();
        tree.file("modprobe", "#!/bin/sh\necho \"$CARGO_MANIFEST_DIR\" >&2\n");
        fs::set_permissions(tree.path("modprobe"), fs::Permissions::from_mode(0o755)).unwrap();
        tree.file(
            "proc/sys/kernel/modprobe",
            tree.path("modprobe").to_str().unwrap(),
        );
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert_eq!(tree.host().modprobe("x"), "");
    }
}
