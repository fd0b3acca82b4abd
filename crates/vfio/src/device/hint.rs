//! Hints for failures of a device.

use rustix::io::Errno;

use crate::device::{Error, Feature, MigrationState};

/// Hint for `EMFILE`.
pub(crate) const MANY_FILES: &str =
    "raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=): the process has too many open files";

/// Hint for a device, or a group of devices, without an IOMMU.
pub(crate) const NO_IOMMU: &str = "turn the IOMMU on; a device without one can read and write all \
    of the host's memory, so it is not assigned";

impl Error {
    /// Returns what the user can do, as an imperative; `None` if nothing is known to help.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.errno()) {
            (_, Some(Errno::MFILE)) => Some(MANY_FILES),
            (Self::NoDevice { .. }, Some(Errno::NOENT)) => Some("check the address (lspci -D)"),
            (Self::NoCdev { .. }, _) => {
                Some("bind it to a VFIO driver, on a kernel with CONFIG_VFIO_DEVICE_CDEV")
            }
            (Self::NoIommu { .. }, _) => Some(NO_IOMMU),
            (Self::Open { .. }, Some(Errno::ACCESS | Errno::PERM)) => Some("run this as root"),
            (Self::Open { .. }, Some(Errno::NOENT)) => Some("bind the device to a VFIO driver"),
            (Self::Open { .. } | Self::Bind { .. }, Some(Errno::BUSY)) => {
                Some("end the process that has the device open, or its group by /dev/vfio/GROUP")
            }
            (Self::NotVfio { .. }, _) => {
                Some("open /dev/vfio/devices/vfioN of the device and hand in that descriptor")
            }
            (Self::Bound { .. }, _) => Some("open the device anew for each guest"),
            (Self::Bind { .. }, Some(Errno::PERM)) => Some(
                "take all devices of its group off host drivers and other owners; if the kernel's \
                 log names MSI, turn interrupt remapping on (or set \
                 iommufd.allow_unsafe_interrupts=1)",
            ),
            (Self::Bind { token: false, .. }, Some(Errno::ACCESS)) => {
                Some("give the token of its physical or virtual functions, which are assigned too")
            }
            (Self::Bind { token: true, .. }, Some(Errno::ACCESS)) => {
                Some("give the token that the physical function has")
            }
            (Self::Bind { token: true, .. }, Some(Errno::INVAL)) => Some(
                "leave the token out: only SR-IOV physical functions on vfio-pci and their \
                 virtual functions take one",
            ),
            (Self::Bind { .. }, Some(Errno::INVAL)) => {
                Some("close the other open file of the device, which is bound already")
            }
            (Self::Attach { pasid: Some(_), .. }, Some(Errno::OPNOTSUPP)) => {
                Some("leave the PASID out: the device, its driver or the IOMMU has no PASIDs")
            }
            (Self::Attach { pasid: Some(_), .. }, Some(Errno::INVAL)) => Some(
                "allocate this page table and the device's own for PASIDs (IOMMU_HWPT_ALLOC_PASID)",
            ),
            (Self::Attach { .. }, Some(Errno::BUSY)) => {
                Some("replace or detach the attachment that it has first")
            }
            (Self::Attach { .. }, Some(Errno::NOMEM)) => Some(
                "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=): an attach pins what is mapped",
            ),
            (Self::Attach { pasid: None, .. }, Some(Errno::ADDRINUSE)) => Some(
                "use a separate address space: this one maps or allows IOVAs that the device \
                 cannot use",
            ),
            (Self::Attach { pasid: None, .. }, Some(Errno::INVAL)) => Some(
                "use a page table of the device's own IOMMU, the same for all devices of its group",
            ),
            (Self::Attach { .. }, Some(Errno::NOENT)) => {
                Some("use an address space or page table that still exists")
            }
            (Self::Reset { .. }, Some(Errno::INVAL | Errno::NOTTY)) => {
                Some("try a hot reset of its bus: the device cannot be reset by itself")
            }
            (Self::Read { .. } | Self::Write { .. }, Some(Errno::IO)) => Some(
                "set bit 1 of the command register, or wake the device up: it does not decode its \
                 memory",
            ),
            (Self::Mmap { .. }, Some(Errno::INVAL)) => {
                Some("map whole pages of what Region::areas lists")
            }
            (Self::Irq { count: 0, .. }, Some(Errno::INVAL)) => {
                Some("enable interrupts of this kind first")
            }
            (Self::Irq { .. }, Some(Errno::INVAL)) => Some(
                "use only interrupts that exist and were enabled first, with no other kind enabled",
            ),
            (Self::Irq { .. }, Some(Errno::NOTTY)) => Some(
                "use another kind of interrupt: the kernel does not support this for this kind",
            ),
            (Self::FewIrqs { .. }, _) => {
                Some("enable at most as many as are available, from the first on")
            }
            (Self::HotResetInfo { .. }, Some(Errno::NODEV)) => {
                Some("use another reset: neither the bus nor the slot of the device has one")
            }
            (Self::HotReset { .. }, Some(Errno::NOTTY)) => Some(
                "use another reset, or wait: there is no such reset, or the link is not back yet",
            ),
            (Self::HotReset { .. }, Some(Errno::INVAL)) => Some(
                "open all affected devices on the same iommufd, or pass the files of all their \
                 groups; leave virtual functions out",
            ),
            (Self::Ioeventfd { .. }, Some(Errno::EXIST)) => {
                Some("use another value: this one is tied to another eventfd there")
            }
            (
                Self::Feature {
                    feature: Feature::BusMaster,
                    ..
                },
                Some(Errno::NOTTY),
            ) => Some("use bit 2 of the command register of a PCI device instead"),
            (
                Self::Feature {
                    feature: Feature::VfToken,
                    ..
                },
                Some(Errno::NOTTY),
            ) => Some("set it on a physical function with SR-IOV"),
            (
                Self::Feature {
                    feature: Feature::ZpciError,
                    ..
                },
                Some(Errno::NOTTY),
            ) => Some("use this only with PCI functions of s390, on Linux 7.3 or later"),
            (Self::Feature { .. }, Some(Errno::NOTTY | Errno::OPNOTSUPP)) => {
                Some("do without this feature: the device or the kernel does not have it")
            }
            (
                Self::Feature {
                    feature: Feature::LowPowerEntry | Feature::LowPowerEntryWithWakeup,
                    ..
                },
                Some(Errno::INVAL),
            ) => Some("call exit_low_power first: the device may be in low power already"),
            (Self::Precopy { .. }, Some(Errno::INVAL)) => {
                Some("ask only while the device is in PRE_COPY or PRE_COPY_P2P")
            }
            (
                Self::Migrate {
                    now: Some(MigrationState::Error),
                    ..
                },
                _,
            ) => Some("reset the device"),
            (Self::DmaBuf { .. }, Some(Errno::NODEV)) => Some("export a BAR that the device has"),
            (Self::DmaBuf { .. }, Some(Errno::INVAL)) => Some("export whole pages of a BAR"),
            (Self::DmaBuf { .. }, Some(Errno::OPNOTSUPP | Errno::NOTTY)) => Some(
                "use a kernel with CONFIG_VFIO_PCI_DMABUF, and a BAR that other devices can reach",
            ),
            _ => None,
        }
    }
}
