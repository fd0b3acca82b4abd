//! A device that VFIO has without an IOMMU is refused before it is opened.

use passthru_lab::devices::NO_IOMMU;
use passthru_vfio::device::{Error, Source};
use std::fs;
use std::path::{Path, PathBuf};

const MODE: &str = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";

/// The device on vfio-pci in VFIO's no-IOMMU mode. Undone on drop.
struct BoundByHand(PathBuf);

impl BoundByHand {
    fn new() -> Self {
        let bound = Self(Path::new("/sys/bus/pci/devices").join(NO_IOMMU));
        fs::write(MODE, "Y").unwrap();
        fs::write(bound.0.join("driver_override"), "vfio-pci").unwrap();
        fs::write("/sys/bus/pci/drivers_probe", NO_IOMMU).unwrap();
        bound
    }

    /// Returns the path of its character device.
    fn node(&self) -> PathBuf {
        let entry = fs::read_dir(self.0.join("vfio-dev")).unwrap().next().unwrap().unwrap();
        Path::new("/dev/vfio/devices").join(entry.file_name())
    }
}

impl Drop for BoundByHand {
    fn drop(&mut self) {
        let _ = fs::write("/sys/bus/pci/drivers/vfio-pci/unbind", NO_IOMMU);
        let _ = fs::write(self.0.join("driver_override"), "\n");
        let _ = fs::write(MODE, "N");
    }
}

#[test]
fn each_source_of_a_device_without_iommu_is_refused() {
    let _host = passthru_lab::host();
    let bound = BoundByHand::new();
    let node = bound.node();
    let opened = fs::OpenOptions::new().read(true).write(true).open(&node).unwrap();
    let sources = [
        Source::Pci(NO_IOMMU.parse().unwrap()),
        Source::Sysfs(bound.0.clone()),
        Source::Cdev(node.clone()),
        Source::Fd(opened.into()),
    ];
    for source in sources {
        let shown = format!("{source:?}");
        let error = source.open().unwrap_err();
        assert!(
            matches!(&error, Error::NoIommu { node, .. } if node.starts_with("noiommu-vfio")),
            "{shown}: {error}"
        );
    }
}
