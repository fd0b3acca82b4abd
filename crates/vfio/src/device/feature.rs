//! Features of a device ([`Feature`]): whether the kernel has them for it, and those that are one
//! call each.

use crate::device::{Device, Error};
use crate::sys;
use crate::sys::feature::VFIO_DEVICE_FEATURE_ZPCI_ERROR;
use rustix::io::Errno;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use vfio_bindings::bindings::vfio::*;

/// A feature of `VFIO_DEVICE_FEATURE`, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Feature {
    /// `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`: [`Device::set_vf_token`].
    VfToken = VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    /// `VFIO_DEVICE_FEATURE_MIGRATION`: [`Device::migration`].
    Migration = VFIO_DEVICE_FEATURE_MIGRATION,
    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`: [`Device::set_migration_state`].
    MigrationState = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: [`Device::enter_low_power`].
    LowPowerEntry = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`: [`Device::enter_low_power_with_wakeup`].
    LowPowerEntryWithWakeup = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`: [`Device::exit_low_power`].
    LowPowerExit = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`: [`Device::start_dma_logging`].
    DmaLoggingStart = VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`: [`Device::stop_dma_logging`].
    DmaLoggingStop = VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`: [`Device::dma_logged`].
    DmaLoggingReport = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
    /// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`: [`Device::migration_data_size`].
    MigrationDataSize = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
    /// `VFIO_DEVICE_FEATURE_BUS_MASTER`: [`Device::set_bus_master`].
    BusMaster = VFIO_DEVICE_FEATURE_BUS_MASTER,
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`: [`super::Region::dma_buf`].
    DmaBuf = VFIO_DEVICE_FEATURE_DMA_BUF,
    /// `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`: [`Device::enable_precopy_reinit`].
    PrecopyInfo2 = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
    /// `VFIO_DEVICE_FEATURE_ZPCI_ERROR`: [`Device::zpci_error`].
    ZpciError = VFIO_DEVICE_FEATURE_ZPCI_ERROR,
}

/// An error of a PCI function on s390, as the platform's firmware reported it
/// ([`Device::zpci_error`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZpciError {
    /// The kernel's `struct zpci_ccdf_err`, in the machine's byte order. The user interface leaves
    /// it opaque: it is for the guest, and may grow with later kernels.
    pub data: Vec<u8>,
}

impl Device {
    /// Whether the kernel has a feature for this device (`VFIO_DEVICE_FEATURE_PROBE`).
    ///
    /// # Errors
    /// [`Error::Feature`] where the kernel says neither.
    pub fn supports(&self, feature: Feature) -> Result<bool, Error> {
        match sys::feature::probe(self.as_fd(), feature as u32) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(false),
            Err(e) => Err(self.failed(feature)(e)),
        }
    }

    /// Sets the token of a physical function (`VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`), a UUID that
    /// whoever opens its virtual functions must know ([`super::Cdev::bind`]). While it has virtual
    /// functions, and none is open.
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn set_vf_token(&self, token: [u8; 16]) -> Result<(), Error> {
        sys::feature::set_vf_token(self.as_fd(), token).map_err(self.failed(Feature::VfToken))
    }

    /// Allows or forbids the device's DMA (`VFIO_DEVICE_FEATURE_BUS_MASTER`), where its
    /// configuration space has no bit for that: CDX devices, with today's kernels.
    ///
    /// # Errors
    /// [`Error::Feature`], also for PCI devices, whose command register has the bit.
    pub fn set_bus_master(&self, on: bool) -> Result<(), Error> {
        let op = if on {
            VFIO_DEVICE_FEATURE_SET_MASTER
        } else {
            VFIO_DEVICE_FEATURE_CLEAR_MASTER
        };
        sys::feature::set_bus_master(self.as_fd(), op).map_err(self.failed(Feature::BusMaster))
    }

    /// Lets the device sleep when it is idle (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`). An access
    /// through the kernel wakes it for as long as that takes; one through a mapping ends in SIGBUS
    /// until [`Device::exit_low_power`].
    ///
    /// # Errors
    /// [`Error::Feature`], also where it was entered before.
    pub fn enter_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerEntry as u32)
            .map_err(self.failed(Feature::LowPowerEntry))
    }

    /// As [`Device::enter_low_power`], but once: when something woke it, the eventfd is signalled
    /// and it stays awake (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`).
    ///
    /// # Errors
    /// [`Error::Feature`], also where it was entered before.
    pub fn enter_low_power_with_wakeup(&self, eventfd: BorrowedFd<'_>) -> Result<(), Error> {
        sys::feature::low_power_with_wakeup(self.as_fd(), eventfd)
            .map_err(self.failed(Feature::LowPowerEntryWithWakeup))
    }

    /// Keeps the device awake again (`VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn exit_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerExit as u32)
            .map_err(self.failed(Feature::LowPowerExit))
    }

    /// Takes the oldest pending error of a PCI function on s390 (`VFIO_DEVICE_FEATURE_ZPCI_ERROR`,
    /// Linux 7.3); `None` where there is none. The kernel keeps at most four, from the time that
    /// the device is opened, and signals [`super::Irq::ERR`] for them; the recovery is left to user
    /// space. An error is taken once: if this fails with `EFAULT`, the error is lost.
    ///
    /// # Errors
    /// - If the kernel describes no such error's length, [`Error::Feature`] with `ENOTTY`: a kernel
    ///   before 7.3, or a machine other than s390.
    /// - If the kernel refuses otherwise, [`Error::Feature`] with its errno.
    /// - If the device cannot be asked what it is, [`Error::Info`] or [`Error::Capabilities`].
    pub fn zpci_error(&self) -> Result<Option<ZpciError>, Error> {
        let failed = self.failed(Feature::ZpciError);
        let Some(length) = self.info()?.zpci_error else {
            // Without the length there can be no buffer: a probe has none.
            let answer = sys::feature::probe(self.as_fd(), Feature::ZpciError as u32);
            return Err(failed(answer.err().unwrap_or(Errno::NOTTY)));
        };
        pending(sys::feature::zpci_error(self.as_fd(), length)).map_err(failed)
    }

    /// Makes an error of the kernel's answer.
    pub(super) fn failed(&self, feature: Feature) -> impl Fn(Errno) -> Error + '_ {
        move |e| Error::Feature {
            device: self.name(),
            feature,
            source: e.into(),
        }
    }
}

/// Reads the kernel's answer, which is `ENOMSG` where no error is pending.
fn pending(answer: rustix::io::Result<Vec<u8>>) -> rustix::io::Result<Option<ZpciError>> {
    match answer {
        Ok(data) => Ok(Some(ZpciError { data })),
        Err(Errno::NOMSG) => Ok(None),
        Err(e) => Err(e),
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VfToken => "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN",
            Self::Migration => "VFIO_DEVICE_FEATURE_MIGRATION",
            Self::MigrationState => "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE",
            Self::LowPowerEntry => "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY",
            Self::LowPowerEntryWithWakeup => "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP",
            Self::LowPowerExit => "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT",
            Self::DmaLoggingStart => "VFIO_DEVICE_FEATURE_DMA_LOGGING_START",
            Self::DmaLoggingStop => "VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP",
            Self::DmaLoggingReport => "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT",
            Self::MigrationDataSize => "VFIO_DEVICE_FEATURE_MIG_DATA_SIZE",
            Self::BusMaster => "VFIO_DEVICE_FEATURE_BUS_MASTER",
            Self::DmaBuf => "VFIO_DEVICE_FEATURE_DMA_BUF",
            Self::PrecopyInfo2 => "VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2",
            Self::ZpciError => "VFIO_DEVICE_FEATURE_ZPCI_ERROR",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pending_error_is_told_from_a_refusal() {
        assert_eq!(pending(Err(Errno::NOMSG)), Ok(None));
        assert_eq!(pending(Err(Errno::NODEV)), Err(Errno::NODEV));
        assert_eq!(
            pending(Ok(vec![1; 32])),
            Ok(Some(ZpciError { data: vec![1; 32] }))
        );
    }
}
