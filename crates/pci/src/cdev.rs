//! The VFIO character device of a device.

use std::fs;
use std::io;
use std::path::Path;

/// Name of the IOMMU groups that VFIO makes for devices without an IOMMU.
pub const NO_IOMMU_GROUP: &str = "vfio-noiommu";

/// Returns whether the name of a VFIO character device marks its device as without an IOMMU:
/// `noiommu-vfioN`, since Linux 7.3.
pub fn is_no_iommu_cdev(name: &str) -> bool {
    name.starts_with("noiommu-")
}

/// Returns the name of the VFIO character device of a device: `vfioN`, or `noiommu-vfioN` if the
/// device has no IOMMU (Linux 7.3). Its node is in `/dev/vfio/devices`.
///
/// `device` is the device's folder in sysfs. `None` if the device is not on a VFIO driver, or if
/// the kernel lacks `CONFIG_VFIO_DEVICE_CDEV`: then `vfio-dev/vfioN` has no file `dev`.
///
/// # Errors
/// If the folder `vfio-dev` exists and it or its contents cannot be read.
pub fn vfio_cdev(device: &Path) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(device.join("vfio-dev")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.path().join("dev").try_exists()? {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }

    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cdev_is_a_folder_with_a_device_number() {
        let device = std::env::temp_dir().join(format!("passthru-cdev-{}", std::process::id()));
        assert_eq!(vfio_cdev(&device).unwrap(), None);

        let folder = device.join("vfio-dev/vfio3");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(vfio_cdev(&device).unwrap(), None);

        fs::write(folder.join("dev"), "511:3\n").unwrap();
        assert_eq!(vfio_cdev(&device).unwrap().as_deref(), Some("vfio3"));

        fs::remove_dir_all(&device).unwrap();
    }
    #[test]
    fn entry_that_cannot_be_examined_is_an_error() {
        let device = std::env::temp_dir().join(format!("passthru-loop-{}", std::process::id()));
        let folder = device.join("vfio-dev/vfio3");
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("dev", folder.join("dev")).unwrap();

        assert!(vfio_cdev(&device).is_err());

        fs::remove_dir_all(&device).unwrap();
    }
}
