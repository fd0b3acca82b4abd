//! What the user can do when a device refuses.

use super::Error;
use crate::device::{Feature, MigrationState};
use rustix::io::Errno;

/// Where there are no descriptors left.
pub(crate) const MANY_FILES: &str =
    "the process has too many open files: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)";

/// Hint for a device, or a group of devices, without an IOMMU.
pub(crate) const NO_IOMMU: &str = "turn the IOMMU on; a device without one can read and write all of the host's memory, so it is not assigned";

impl Error {
    /// Returns what the user can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.errno()) {
            (_, Some(Errno::MFILE)) => Some(MANY_FILES),
            (Self::NoDevice { .. }, Some(Errno::NOENT)) => {
                Some("is the address right? (passthru list, lspci -D)")
            }
            (Self::NoCdev { .. }, _) => {
                Some("bind it to a VFIO driver (passthru bind); the kernel needs CONFIG_VFIO_DEVICE_CDEV")
            }
            (Self::NoIommu { .. }, _) => Some(NO_IOMMU),
            (Self::Open { .. }, Some(Errno::ACCESS | Errno::PERM)) => Some("run this as root"),
            (Self::Open { .. }, Some(Errno::NOENT)) => {
                Some("is the device bound to a VFIO driver? (passthru bind)")
            }
            (Self::Open { .. } | Self::Bind { .. }, Some(Errno::BUSY)) => {
                Some("another process has the device open, or its group through /dev/vfio/GROUP")
            }
            (Self::NotVfio { .. }, _) => {
                Some("open /dev/vfio/devices/vfioN of the device and hand in that descriptor")
            }
            (Self::Bound { .. }, _) => Some("open the device anew for each guest"),
            (Self::Bind { .. }, Some(Errno::PERM)) => Some(
                "another device of its group is on a driver of the host, or somebody else's; or, where the kernel's log speaks of MSI, the machine has no interrupt remapping (iommufd.allow_unsafe_interrupts=1)",
            ),
            (Self::Bind { token: false, .. }, Some(Errno::ACCESS)) => {
                Some("its physical function, or virtual functions of it, are assigned too: give their token")
            }
            (Self::Bind { token: true, .. }, Some(Errno::ACCESS)) => {
                Some("the token is not the one that the physical function has")
            }
            (Self::Bind { token: true, .. }, Some(Errno::INVAL)) => Some(
                "only physical functions on vfio-pci with SR-IOV, and virtual functions of these, take a token",
            ),
            (Self::Bind { .. }, Some(Errno::INVAL)) => {
                Some("the device is in use: another open file of it is bound")
            }
            (Self::Attach { pasid: Some(_), .. }, Some(Errno::OPNOTSUPP)) => {
                Some("the device, its driver or the IOMMU has no PASIDs")
            }
            (Self::Attach { pasid: Some(_), .. }, Some(Errno::INVAL)) => Some(
                "the page table, and that of the device itself, must be made for PASIDs (IOMMU_HWPT_ALLOC_PASID)",
            ),
            (Self::Attach { .. }, Some(Errno::BUSY)) => {
                Some("it is attached already: replace or detach that first")
            }
            (Self::Attach { .. }, Some(Errno::NOMEM)) => Some(
                "an attach pins what is mapped, which counts against RLIMIT_MEMLOCK: raise it (ulimit -l, LimitMEMLOCK=)",
            ),
            (Self::Attach { pasid: None, .. }, Some(Errno::ADDRINUSE)) => Some(
                "what is mapped, or allowed, is where the device cannot have it: use an address space of its own",
            ),
            (Self::Attach { pasid: None, .. }, Some(Errno::INVAL)) => Some(
                "the page table is for another IOMMU, or other devices of the group are attached to something else",
            ),
            (Self::Attach { .. }, Some(Errno::NOENT)) => Some("the address space or page table is gone"),
            (Self::Reset { .. }, Some(Errno::INVAL | Errno::NOTTY)) => {
                Some("the device cannot be reset by itself; a hot reset of its bus may do")
            }
            (Self::Read { .. } | Self::Write { .. }, Some(Errno::IO)) => Some(
                "the device does not decode its memory: set bit 1 of the command register, or wake it up",
            ),
            (Self::Mmap { .. }, Some(Errno::INVAL)) => {
                Some("only whole pages of what Region::areas lists can be mapped")
            }
            (Self::Irq { count: 0, .. }, Some(Errno::INVAL)) => {
                Some("interrupts of this kind are not enabled")
            }
            (Self::Irq { .. }, Some(Errno::INVAL)) => Some(
                "there are not as many, another kind is enabled, or these were not among those that were enabled first",
            ),
            (Self::Irq { .. }, Some(Errno::NOTTY)) => {
                Some("the kernel cannot do this with interrupts of this kind")
            }
            (Self::FewIrqs { .. }, _) => Some("enable as many as there are, from the first on"),
            (Self::HotResetInfo { .. }, Some(Errno::NODEV)) => {
                Some("neither the bus nor the slot of the device can be reset")
            }
            (Self::HotReset { .. }, Some(Errno::NOTTY)) => {
                Some("it cannot be reset so, or it was, and its link did not come back in time")
            }
            (Self::HotReset { .. }, Some(Errno::INVAL)) => Some(
                "all affected devices must be open here, on the same iommufd, or the files of all their groups given; and none may be a virtual function",
            ),
            (Self::Ioeventfd { .. }, Some(Errno::EXIST)) => {
                Some("this value is written there for another eventfd")
            }
            (Self::Feature { feature: Feature::BusMaster, .. }, Some(Errno::NOTTY)) => {
                Some("the command register of a PCI device has a bit for it")
            }
            (Self::Feature { feature: Feature::VfToken, .. }, Some(Errno::NOTTY)) => {
                Some("only a physical function with SR-IOV has one")
            }
            (Self::Feature { feature: Feature::ZpciError, .. }, Some(Errno::NOTTY)) => {
                Some("only PCI functions of s390 have it, with Linux 7.3 or later")
            }
            (Self::Feature { .. }, Some(Errno::NOTTY | Errno::OPNOTSUPP)) => {
                Some("the device, or the kernel for it, does not have this feature")
            }
            (
                Self::Feature { feature: Feature::LowPowerEntry | Feature::LowPowerEntryWithWakeup, .. },
                Some(Errno::INVAL),
            ) => Some("it may sleep already: forbid that first (exit_low_power)"),
            (Self::Precopy { .. }, Some(Errno::INVAL)) => {
                Some("it can be asked only while the device is in PRE_COPY or PRE_COPY_P2P")
            }
            (Self::Migrate { now: Some(MigrationState::Error), .. }, _) => Some("reset the device"),
            (Self::DmaBuf { .. }, Some(Errno::NODEV)) => {
                Some("only BARs that the device has can be exported")
            }
            (Self::DmaBuf { .. }, Some(Errno::INVAL)) => Some("only whole pages of a BAR can be exported"),
            (Self::DmaBuf { .. }, Some(Errno::OPNOTSUPP | Errno::NOTTY)) => {
                Some("the kernel needs CONFIG_VFIO_PCI_DMABUF, and the device a BAR that others can reach")
            }
            _ => None,
        }
    }
}
