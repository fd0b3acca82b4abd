//! [`Device`]: a handle of a device that is open and bound, by either backend.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use passthru_iommufd::DirtyRange;
use rustix::io::Errno;
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FEATURE_CLEAR_MASTER, VFIO_DEVICE_FEATURE_SET_MASTER,
};

use crate::device::{
    DeviceInfo, DeviceKind, Error, Feature, HotResetInfo, Location, MigrationData, MigrationFlags,
    MigrationState, Target, ZpciError, dma_logging,
};
use crate::sys;

/// A handle of an open device. Clones refer to the same device.
///
/// The device is closed with its last handle; regions, interrupts and mappings of BARs hold handles
/// too. What the device belongs to is closed after it: its iommufd, or its group and container.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

/// Fields are dropped in this order: the device, then its targets and parents.
#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    location: Location,
    targets: Mutex<Targets>,
    _parents: Arc<dyn Any + Send + Sync>,
}

/// Targets by PASID; `None` stands for the device itself.
pub(super) type Targets = BTreeMap<Option<u32>, Target>;

impl Device {
    /// Takes an open device. `parents` must outlive it in the kernel: the iommufd, or the group and
    /// container.
    pub(crate) fn new(
        fd: OwnedFd,
        location: Location,
        parents: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self(Arc::new(Inner {
            fd,
            location,
            targets: Mutex::default(),
            _parents: parents,
        }))
    }

    /// Returns the device's place in sysfs.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Returns the device's name in sysfs, for example `0000:01:00.0`.
    pub fn name(&self) -> String {
        self.0.location.name()
    }

    /// Returns whether this is a mediated device.
    ///
    /// The driver of a mediated device pins pages only while it uses them. So a guest's memory may
    /// be discarded beside it; see [`Discards`](crate::container::Discards).
    pub fn is_mdev(&self) -> bool {
        self.0.location.kind() == DeviceKind::Mdev
    }

    /// Returns the device's bus, and its numbers of regions and interrupts
    /// (`VFIO_DEVICE_GET_INFO`).
    ///
    /// # Errors
    /// - If the kernel refuses, [`Error::Info`].
    /// - If the reply is malformed, [`Error::Capabilities`].
    pub fn info(&self) -> Result<DeviceInfo, Error> {
        let (raw, reply) = sys::device::info(self.as_fd()).map_err(|e| Error::Info {
            device: self.name(),
            source: e.into(),
        })?;
        DeviceInfo::new(&raw, &reply).map_err(|source| Error::Capabilities {
            device: self.name(),
            of: "the information".into(),
            source,
        })
    }

    /// Returns whether the kernel has a feature for this device (`VFIO_DEVICE_FEATURE_PROBE`).
    ///
    /// # Errors
    /// [`Error::Feature`], if the kernel returns another errno than `ENOTTY`, `EOPNOTSUPP` or
    /// `EINVAL`.
    pub fn supports(&self, feature: Feature) -> Result<bool, Error> {
        match sys::feature::probe(self.as_fd(), feature as u32) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(false),
            Err(e) => Err(self.feature_error(feature)(e)),
        }
    }

    /// Sets the token of a physical function, a UUID of 16 bytes
    /// (`VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`).
    ///
    /// Its virtual functions are then opened with this token; see
    /// [`Cdev::bind`](super::Cdev::bind). Call this while virtual functions exist and none of them
    /// is open.
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn set_vf_token(&self, token: [u8; 16]) -> Result<(), Error> {
        sys::feature::set_vf_token(self.as_fd(), token)
            .map_err(self.feature_error(Feature::VfToken))
    }

    /// Allows or forbids the device's DMA (`VFIO_DEVICE_FEATURE_BUS_MASTER`).
    ///
    /// This is for devices whose configuration space has no bit for that, which are CDX devices
    /// today.
    ///
    /// # Errors
    /// [`Error::Feature`], also for PCI devices: use bit 2 of their command register.
    pub fn set_bus_master(&self, on: bool) -> Result<(), Error> {
        let op = if on {
            VFIO_DEVICE_FEATURE_SET_MASTER
        } else {
            VFIO_DEVICE_FEATURE_CLEAR_MASTER
        };
        sys::feature::set_bus_master(self.as_fd(), op)
            .map_err(self.feature_error(Feature::BusMaster))
    }

    /// Lets the device sleep while it is idle (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`).
    ///
    /// - An access through the kernel wakes the device for the time of that access.
    /// - An access through a mapping ends in SIGBUS until [`Device::exit_low_power`].
    ///
    /// # Errors
    /// [`Error::Feature`]; `EINVAL` if the device is in low power already.
    pub fn enter_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerEntry as u32)
            .map_err(self.feature_error(Feature::LowPowerEntry))
    }

    /// Lets the device sleep until something wakes it
    /// (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`).
    ///
    /// The wakeup signals the eventfd, and the device stays awake. See [`Device::enter_low_power`]
    /// for accesses.
    ///
    /// # Errors
    /// [`Error::Feature`]; `EINVAL` if the device is in low power already.
    pub fn enter_low_power_with_wakeup(&self, eventfd: BorrowedFd<'_>) -> Result<(), Error> {
        sys::feature::low_power_with_wakeup(self.as_fd(), eventfd)
            .map_err(self.feature_error(Feature::LowPowerEntryWithWakeup))
    }

    /// Wakes the device and keeps it awake (`VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn exit_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerExit as u32)
            .map_err(self.feature_error(Feature::LowPowerExit))
    }

    /// Takes the oldest pending error of a PCI function on s390 (`VFIO_DEVICE_FEATURE_ZPCI_ERROR`,
    /// Linux 7.3); `None` if no error is pending.
    ///
    /// The kernel keeps at most four errors, from the time that the device is opened, and signals
    /// [`Irq::ERR`](super::Irq::ERR) for them. User space is responsible for the recovery. An error
    /// is taken once: if this call fails with `EFAULT`, then the error is lost.
    ///
    /// # Errors
    /// - If the kernel does not report the length of such an error, [`Error::Feature`] with
    ///   `ENOTTY`. That is so before Linux 7.3, and on machines other than s390.
    /// - If the kernel refuses otherwise, [`Error::Feature`] with its errno.
    /// - If the device's information cannot be read, [`Error::Info`] or [`Error::Capabilities`].
    pub fn zpci_error(&self) -> Result<Option<ZpciError>, Error> {
        let failed = self.feature_error(Feature::ZpciError);
        let Some(length) = self.info()?.zpci_error else {
            // Without the length there can be no buffer; a probe needs none.
            let result = sys::feature::probe(self.as_fd(), Feature::ZpciError as u32);
            return Err(failed(result.err().unwrap_or(Errno::NOTTY)));
        };
        ZpciError::from_result(sys::feature::zpci_error(self.as_fd(), length)).map_err(failed)
    }

    /// Resets the device (`VFIO_DEVICE_RESET`).
    ///
    /// A reset empties mappings of the device's dma-bufs in I/O address spaces, and the kernel does
    /// not fill them again. Unmap them before, and map them again after.
    ///
    /// # Errors
    /// [`Error::Reset`]; `EINVAL` or `ENOTTY` if the device cannot be reset by itself
    /// ([`DeviceInfo::reset`]).
    pub fn reset(&self) -> Result<(), Error> {
        sys::device::reset(self.as_fd()).map_err(|e| Error::Reset {
            device: self.name(),
            source: e.into(),
        })
    }

    /// Returns the devices that a hot reset affects (`VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`).
    ///
    /// # Errors
    /// [`Error::HotResetInfo`]; `ENODEV` if neither the bus nor the slot can be reset.
    pub fn hot_reset_info(&self) -> Result<HotResetInfo, Error> {
        let reply = sys::device::hot_reset_info(self.as_fd());
        let (flags, devices) = reply.map_err(|e| Error::HotResetInfo {
            device: self.name(),
            source: e.into(),
        })?;
        Ok(HotResetInfo::new(flags, &devices))
    }

    /// Resets the device's bus or slot, with all devices on it (`VFIO_DEVICE_PCI_HOT_RESET`).
    ///
    /// The kernel wants proof that the caller owns them:
    /// - If the device was opened through its group, then `groups` are the open files of all
    ///   affected groups.
    /// - If the device was opened by its character device, then `groups` is empty.
    ///
    /// The effect on dma-bufs is that of [`Device::reset`].
    ///
    /// ```no_run
    /// # use passthru_vfio::device::{Device, Error};
    /// # fn with(device: &Device) -> Result<(), Error> {
    /// if device.hot_reset_info()?.owned == Some(true) {
    ///     device.hot_reset(&[])?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::HotReset`].
    pub fn hot_reset(&self, groups: &[BorrowedFd<'_>]) -> Result<(), Error> {
        sys::device::hot_reset(self.as_fd(), groups).map_err(|e| Error::HotReset {
            device: self.name(),
            groups: groups.len(),
            source: e.into(),
        })
    }

    /// Returns the device's abilities for migration (`VFIO_DEVICE_FEATURE_MIGRATION`).
    ///
    /// # Errors
    /// [`Error::Feature`]; `ENOTTY` if the device cannot be migrated.
    pub fn migration(&self) -> Result<MigrationFlags, Error> {
        let flags = sys::feature::migration(self.as_fd())
            .map_err(self.feature_error(Feature::Migration))?;
        Ok(MigrationFlags::from_bits_retain(flags))
    }

    /// Returns the migration state (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn migration_state(&self) -> Result<MigrationState, Error> {
        let state = sys::feature::migration_state(self.as_fd());
        state
            .map(MigrationState::from)
            .map_err(self.feature_error(Feature::MigrationState))
    }

    /// Changes the migration state, and returns the file of the data transfer that begins with it.
    ///
    /// The kernel passes through other states if there is no direct way. A transfer begins in these
    /// cases, otherwise the result is `None`:
    /// - With [`MigrationState::PreCopy`] or [`MigrationState::StopCopy`], from a state other than
    ///   these.
    /// - With [`MigrationState::Resuming`].
    ///
    /// # Errors
    /// [`Error::Migrate`], with the state that the device is in then.
    pub fn set_migration_state(&self, to: MigrationState) -> Result<Option<MigrationData>, Error> {
        match sys::feature::set_migration_state(self.as_fd(), to.into()) {
            Ok(fd) => Ok(fd.map(|fd| MigrationData::new(fd, self.name()))),
            Err(e) => {
                let now = self.migration_state().ok();
                Err(Error::Migrate {
                    device: self.name(),
                    to,
                    now,
                    source: e.into(),
                })
            }
        }
    }

    /// Returns an estimate of the stopped device's state in bytes
    /// (`VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn migration_data_size(&self) -> Result<u64, Error> {
        sys::feature::migration_data_size(self.as_fd())
            .map_err(self.feature_error(Feature::MigrationDataSize))
    }

    /// Enables [`PrecopySize::reinit`](super::PrecopySize::reinit)
    /// (`VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn enable_precopy_reinit(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::PrecopyInfo2 as u32)
            .map_err(self.feature_error(Feature::PrecopyInfo2))
    }

    /// Starts to log the device's writes to these IOVAs, and returns the page size that the device
    /// chose (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`).
    ///
    /// `page_size` is the wanted one, in bytes. All kernels accept as many ranges as fit into a
    /// page at 16 bytes each.
    ///
    /// # Errors
    /// [`Error::Feature`], also if the device has no log, or logs already.
    pub fn start_dma_logging(
        &self,
        page_size: u64,
        iovas: &[RangeInclusive<u64>],
    ) -> Result<u64, Error> {
        let failed = self.feature_error(Feature::DmaLoggingStart);
        let ranges: Option<Vec<_>> = iovas.iter().map(dma_logging::range).collect();
        let ranges = ranges.ok_or_else(|| failed(Errno::INVAL))?;
        sys::feature::dma_logging_start(self.as_fd(), page_size, &ranges).map_err(failed)
    }

    /// Stops the log of writes (`VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn stop_dma_logging(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::DmaLoggingStop as u32)
            .map_err(self.feature_error(Feature::DmaLoggingStop))
    }

    /// Adds the pages that the device wrote since the last call to `bitmap`
    /// (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`). Bits are set, never cleared.
    ///
    /// # Errors
    /// [`Error::Feature`], also if the bitmap is too short. The log is then unusable: count all
    /// pages as written.
    pub fn read_dma_log(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<(), Error> {
        dma_logging::read_log(self.as_fd(), range, bitmap)
            .map_err(self.feature_error(Feature::DmaLoggingReport))
    }

    /// Returns a function that converts an errno for a feature.
    pub(super) fn feature_error(&self, feature: Feature) -> impl Fn(Errno) -> Error + '_ {
        move |e| Error::Feature {
            device: self.name(),
            feature,
            source: e.into(),
        }
    }

    /// Returns whether other handles of the device exist.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Locks the targets of the device and of its PASIDs.
    pub(super) fn targets(&self) -> MutexGuard<'_, Targets> {
        self.0
            .targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
