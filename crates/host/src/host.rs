//! The host as a place: where its `/sys`, `/proc`, `/dev`, `/run` and `/lib/modules` are.

use std::path::PathBuf;
use std::time::Duration;

use passthru_pci::Address;

/// The host's file trees, and how long to wait for what the kernel does by and by.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    wait: Duration,
    limit: Duration,
}

impl Host {
    /// Returns the host this program runs on.
    pub fn new() -> Self {
        Self::at("/")
    }

    /// Returns a host whose trees are below `root`: `root/sys`, `root/proc` and so on.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), wait: Duration::from_secs(2), limit: Duration::from_secs(60) }
    }

    /// Sets how long to wait for a device node to appear, or for a holder to let go. 2 seconds at first.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Sets how long a write to sysfs or a `modprobe` may take before it is reported as stuck. 60 seconds
    /// at first: some drivers need half of that to let a device go.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns the path of a VFIO character device, `/dev/vfio/devices/NAME`.
    pub fn cdev_path(&self, name: &str) -> PathBuf {
        self.path("dev/vfio/devices").join(name)
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Folder of a PCI device in sysfs.
    pub(crate) fn pci(&self, address: Address) -> PathBuf {
        self.path("sys/bus/pci/devices").join(address.to_string())
    }

    /// Folder of a PCI driver in sysfs.
    pub(crate) fn pci_driver(&self, driver: &str) -> PathBuf {
        self.path("sys/bus/pci/drivers").join(driver)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}
