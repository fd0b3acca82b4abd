//! [`Device`]: what can be done with a device that is open and bound, whichever way that came about.

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

/// A handle of an open device; copies of it lead to the same one. The device is closed with the
/// last of them, and with the regions and mappings that came from it; what it belongs to is closed
/// after it.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

/// Fields are dropped in this order: first the device goes, then what it reaches and belongs to.
#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    location: Location,
    targets: Mutex<Targets>,
    _parents: Arc<dyn Any + Send + Sync>,
}

/// What is attached to what: the device itself (`None`), and PASIDs of it.
pub(super) type Targets = BTreeMap<Option<u32>, Target>;

impl Device {
    /// Takes an open device, with what must outlive it in the kernel: the iommufd, or the group and
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

    /// Returns where it stands in sysfs.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Returns its name, as `0000:01:00.0`.
    pub fn name(&self) -> String {
        self.0.location.name()
    }

    /// Whether it is a mediated device, whose DMA goes to pages that its driver pins when it needs
    /// them. So memory of a guest may be discarded beside it, which other devices' attached address
    /// spaces forbid: see [`Discards`](crate::container::Discards).
    pub fn is_mdev(&self) -> bool {
        self.0.location.kind() == DeviceKind::Mdev
    }

    /// Asks what it is (`VFIO_DEVICE_GET_INFO`).
    ///
    /// # Errors
    /// [`Error::Info`]; [`Error::Capabilities`].
    pub fn info(&self) -> Result<DeviceInfo, Error> {
        let (raw, answer) = sys::device::info(self.as_fd()).map_err(|e| Error::Info {
            device: self.name(),
            source: e.into(),
        })?;
        DeviceInfo::new(&raw, &answer).map_err(|source| Error::Capabilities {
            device: self.name(),
            of: "the information".into(),
            source,
        })
    }

    /// Whether the kernel has a feature for this device (`VFIO_DEVICE_FEATURE_PROBE`).
    ///
    /// # Errors
    /// [`Error::Feature`] where the kernel says neither.
    pub fn supports(&self, feature: Feature) -> Result<bool, Error> {
        match sys::feature::probe(self.as_fd(), feature as u32) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => Ok(false),
            Err(e) => Err(self.feature_error(feature)(e)),
        }
    }

    /// Sets the token of a physical function (`VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`), a UUID that
    /// whoever opens its virtual functions must know ([`super::Cdev::bind`]). While it has virtual
    /// functions, and none is open.
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn set_vf_token(&self, token: [u8; 16]) -> Result<(), Error> {
        sys::feature::set_vf_token(self.as_fd(), token)
            .map_err(self.feature_error(Feature::VfToken))
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
        sys::feature::set_bus_master(self.as_fd(), op)
            .map_err(self.feature_error(Feature::BusMaster))
    }

    /// Lets the device sleep when it is idle (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`). An access
    /// through the kernel wakes it for as long as that takes; one through a mapping ends in SIGBUS
    /// until [`Device::exit_low_power`].
    ///
    /// # Errors
    /// [`Error::Feature`], also where it was entered before.
    pub fn enter_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerEntry as u32)
            .map_err(self.feature_error(Feature::LowPowerEntry))
    }

    /// As [`Device::enter_low_power`], but once: when something woke it, the eventfd is signalled
    /// and it stays awake (`VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`).
    ///
    /// # Errors
    /// [`Error::Feature`], also where it was entered before.
    pub fn enter_low_power_with_wakeup(&self, eventfd: BorrowedFd<'_>) -> Result<(), Error> {
        sys::feature::low_power_with_wakeup(self.as_fd(), eventfd)
            .map_err(self.feature_error(Feature::LowPowerEntryWithWakeup))
    }

    /// Keeps the device awake again (`VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn exit_low_power(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::LowPowerExit as u32)
            .map_err(self.feature_error(Feature::LowPowerExit))
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
        let failed = self.feature_error(Feature::ZpciError);
        let Some(length) = self.info()?.zpci_error else {
            // Without the length there can be no buffer: a probe has none.
            let answer = sys::feature::probe(self.as_fd(), Feature::ZpciError as u32);
            return Err(failed(answer.err().unwrap_or(Errno::NOTTY)));
        };
        ZpciError::from_answer(sys::feature::zpci_error(self.as_fd(), length)).map_err(failed)
    }

    /// Resets it (`VFIO_DEVICE_RESET`). Mappings of its dma-bufs in I/O address spaces are emptied
    /// by that, and the kernel does not fill them again: unmap before, and map after.
    ///
    /// # Errors
    /// [`Error::Reset`], also where the device cannot be reset by itself ([`super::DeviceInfo::reset`]).
    pub fn reset(&self) -> Result<(), Error> {
        sys::device::reset(self.as_fd()).map_err(|e| Error::Reset {
            device: self.name(),
            source: e.into(),
        })
    }

    /// Asks what a hot reset would affect (`VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`).
    ///
    /// # Errors
    /// [`Error::HotResetInfo`], also where neither its bus nor its slot can be reset.
    pub fn hot_reset_info(&self) -> Result<HotResetInfo, Error> {
        let failed = |e: rustix::io::Errno| Error::HotResetInfo {
            device: self.name(),
            source: e.into(),
        };
        let (flags, devices) = sys::device::hot_reset_info(self.as_fd()).map_err(failed)?;
        Ok(HotResetInfo::new(flags, &devices))
    }

    /// Resets its bus or slot (`VFIO_DEVICE_PCI_HOT_RESET`), with all devices there. As proof that
    /// they are the caller's, it takes the open files of all their groups where it was opened
    /// through a group, and none where it was opened by its character device. Of dma-bufs the same
    /// holds as for [`Device::reset`].
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

    /// Asks what the device can do of migration (`VFIO_DEVICE_FEATURE_MIGRATION`).
    ///
    /// # Errors
    /// [`Error::Feature`], also where it cannot be migrated.
    pub fn migration(&self) -> Result<MigrationFlags, Error> {
        let flags = sys::feature::migration(self.as_fd())
            .map_err(self.feature_error(Feature::Migration))?;
        Ok(MigrationFlags::from_bits_retain(flags))
    }

    /// Asks for the state (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn migration_state(&self) -> Result<MigrationState, Error> {
        let state = sys::feature::migration_state(self.as_fd());
        state
            .map(MigrationState::from)
            .map_err(self.feature_error(Feature::MigrationState))
    }

    /// Changes the state, by other states in between where there is no direct way, and returns the
    /// file of the data transfer that begins with it, if one does: with [`MigrationState::PreCopy`]
    /// and [`MigrationState::StopCopy`] from outside of these, and with
    /// [`MigrationState::Resuming`].
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

    /// Estimates how many bytes its state has when it is stopped
    /// (`VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn migration_data_size(&self) -> Result<u64, Error> {
        sys::feature::migration_data_size(self.as_fd())
            .map_err(self.feature_error(Feature::MigrationDataSize))
    }

    /// Lets [`PrecopySize::reinit`] be told (`VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn enable_precopy_reinit(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::PrecopyInfo2 as u32)
            .map_err(self.feature_error(Feature::PrecopyInfo2))
    }

    /// Begins to log writes to these IOVAs, if possible in pages of this many bytes, and returns
    /// the size that the device chose (`VFIO_DEVICE_FEATURE_DMA_LOGGING_START`). All kernels take
    /// as many ranges as 16 bytes each fit into a page.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the device cannot do it or does it already.
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

    /// Ends it (`VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn stop_dma_logging(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::DmaLoggingStop as u32)
            .map_err(self.feature_error(Feature::DmaLoggingStop))
    }

    /// Adds the pages that the device wrote to since it was last asked: bit i of the bitmap stands
    /// for the page at `iova` + i × `page_size` (`VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`). Bits
    /// are added, never taken away.
    ///
    /// # Errors
    /// [`Error::Feature`], also where the bitmap is too short; the log is then of no use, and all
    /// pages count as written.
    pub fn read_dma_log(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<(), Error> {
        dma_logging::read_log(self.as_fd(), range, bitmap)
            .map_err(self.feature_error(Feature::DmaLoggingReport))
    }

    /// Makes an error of the kernel's answer.
    pub(super) fn feature_error(&self, feature: Feature) -> impl Fn(Errno) -> Error + '_ {
        move |e| Error::Feature {
            device: self.name(),
            feature,
            source: e.into(),
        }
    }

    /// Whether there are other handles of it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Returns what it is attached to, and under which PASIDs, to look at or to change.
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
