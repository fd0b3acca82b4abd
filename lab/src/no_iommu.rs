//! [`NoIommuDevice`]: a device in VFIO's no-IOMMU mode.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::devices::NO_IOMMU;

const MODE: &str = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

/// The device [`NO_IOMMU`], bound to vfio-pci in VFIO's no-IOMMU mode. Undone on drop.
#[derive(Debug)]
pub struct NoIommuDevice {
    sysfs: PathBuf,
}

impl NoIommuDevice {
    /// Turns the mode on and binds the device, as an operator can by hand.
    ///
    /// # Errors
    /// If the kernel refuses a write to sysfs. What was done before is undone.
    pub fn bind() -> io::Result<Self> {
        let device = Self {
            sysfs: Path::new("/sys/bus/pci/devices").join(NO_IOMMU),
        };
        fs::write(MODE, "Y")?;
        fs::write(device.sysfs.join("driver_override"), "vfio-pci")?;
        fs::write("/sys/bus/pci/drivers_probe", NO_IOMMU)?;
        Ok(device)
    }

    /// Returns the folder of the device in sysfs.
    #[must_use]
    pub fn sysfs(&self) -> &Path {
        &self.sysfs
    }

    /// Returns the path of the device's character device.
    ///
    /// # Errors
    /// If the device has none.
    pub fn node(&self) -> io::Result<PathBuf> {
        let entry = fs::read_dir(self.sysfs.join("vfio-dev"))?
            .next()
            .ok_or(io::ErrorKind::NotFound)??;
        Ok(Path::new("/dev/vfio/devices").join(entry.file_name()))
    }
}

impl Drop for NoIommuDevice {
    fn drop(&mut self) {
        let _ = fs::write("/sys/bus/pci/drivers/vfio-pci/unbind", NO_IOMMU);
        let _ = fs::write(self.sysfs.join("driver_override"), "\n");
        let _ = fs::write(MODE, "N");
    }
}
