//! Drivers: the VFIO driver for a device, and the loading of driver modules.

use super::modalias;
use crate::{Device, Error, Host, sysfs, time_limit};

impl Host {
    /// Returns the VFIO driver for a device: the variant for it (`mlx5_vfio_pci`, …) if the kernel
    /// has one, else `vfio-pci`.
    pub fn vfio_driver(&self, device: &Device) -> String {
        match modalias::vfio_module(self, device) {
            Some(module) if module != "vfio_pci" => module,
            _ => "vfio-pci".into(),
        }
    }

    /// Checks that a text can be the name of a driver: not a path, and no other file of sysfs.
    ///
    /// # Errors
    /// [`Error::BadDriverName`], if it cannot.
    pub(crate) fn check_driver_name(driver: &str) -> Result<(), Error> {
        let mut bytes = driver.bytes();
        let is_name = !driver.is_empty()
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_name {
            return Ok(());
        }
        Err(Error::BadDriverName {
            driver: driver.into(),
        })
    }

    /// Loads the module of a driver, unless the kernel has the driver already.
    ///
    /// # Errors
    /// [`Error::NoDriver`] with the messages of `modprobe`.
    pub fn load_driver(&self, driver: &str) -> Result<(), Error> {
        let folder = self.pci_driver(driver);
        if folder.exists() {
            return Ok(());
        }
        let answer = self.modprobe(driver);
        if folder.exists() {
            return Ok(());
        }
        Err(Error::NoDriver {
            driver: driver.into(),
            answer,
        })
    }

    /// Runs the kernel's own module loader (`/proc/sys/kernel/modprobe`), and returns its messages.
    pub(crate) fn modprobe(&self, module: &str) -> String {
        let program = sysfs::read(self.path("proc/sys/kernel/modprobe")).unwrap_or_default();
        if program.is_empty() {
            return "this kernel cannot load modules".into();
        }
        time_limit::run(self.limit(), &program, &["--", module])
    }
}

/// Checks that a device which was bound to `driver` is on a VFIO driver. Before the bind, there is
/// no way to know.
///
/// # Errors
/// [`Error::NotVfio`], if it is not.
pub(crate) fn expect_vfio(device: &Device, driver: &str) -> Result<(), Error> {
    if device.on_vfio() {
        return Ok(());
    }
    Err(Error::NotVfio {
        device: device.address,
        driver: driver.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn path_is_not_a_driver_name() {
        for name in ["vfio-pci", "mlx5_vfio_pci", "e1000e"] {
            Host::check_driver_name(name).unwrap();
        }
        for name in ["", "..", "../../../../etc", "a/b", "a b", "a\n", "é"] {
            let error = Host::check_driver_name(name).unwrap_err();
            assert!(matches!(error, Error::BadDriverName { .. }), "{name}");
        }
    }

    #[test]
    fn driver_without_a_variant_is_vfio_pci() {
        let tree = Tree::new();
        tree.pci("0000:01:00.0", 0x020000);
        assert_eq!(
            tree.host().vfio_driver(&tree.host().devices()[0]),
            "vfio-pci"
        );
    }

    #[test]
    fn loaded_driver_is_not_loaded_again() {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/modprobe", "/no/such/program\n");
        tree.dir("sys/bus/pci/drivers/vfio-pci");
        tree.host().load_driver("vfio-pci").unwrap();
    }

    #[test]
    fn load_error_has_the_messages_of_modprobe() {
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
