//! [`Feature`]: the features of `VFIO_DEVICE_FEATURE`.

use std::fmt;

use vfio_bindings::bindings::vfio::*;

use crate::sys::feature::VFIO_DEVICE_FEATURE_ZPCI_ERROR;

/// A feature of `VFIO_DEVICE_FEATURE`, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Feature {
    /// `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`: [`Device::set_vf_token`](super::Device::set_vf_token).
    VfToken = VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    /// `VFIO_DEVICE_FEATURE_MIGRATION`: [`Device::migration`](super::Device::migration).
    Migration = VFIO_DEVICE_FEATURE_MIGRATION,
    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`:
    /// [`Device::set_migration_state`](super::Device::set_migration_state).
    MigrationState = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`:
    /// [`Device::enter_low_power`](super::Device::enter_low_power).
    LowPowerEntry = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`:
    /// [`Device::enter_low_power_with_wakeup`](super::Device::enter_low_power_with_wakeup).
    LowPowerEntryWithWakeup = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    /// `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`:
    /// [`Device::exit_low_power`](super::Device::exit_low_power).
    LowPowerExit = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`:
    /// [`Device::start_dma_logging`](super::Device::start_dma_logging).
    DmaLoggingStart = VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`:
    /// [`Device::stop_dma_logging`](super::Device::stop_dma_logging).
    DmaLoggingStop = VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`:
    /// [`Device::read_dma_log`](super::Device::read_dma_log).
    DmaLoggingReport = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
    /// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`:
    /// [`Device::migration_data_size`](super::Device::migration_data_size).
    MigrationDataSize = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
    /// `VFIO_DEVICE_FEATURE_BUS_MASTER`: [`Device::set_bus_master`](super::Device::set_bus_master).
    BusMaster = VFIO_DEVICE_FEATURE_BUS_MASTER,
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`: [`super::Region::dma_buf`].
    DmaBuf = VFIO_DEVICE_FEATURE_DMA_BUF,
    /// `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`:
    /// [`Device::enable_precopy_reinit`](super::Device::enable_precopy_reinit).
    PrecopyInfo2 = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
    /// `VFIO_DEVICE_FEATURE_ZPCI_ERROR`: [`Device::zpci_error`](super::Device::zpci_error).
    ZpciError = VFIO_DEVICE_FEATURE_ZPCI_ERROR,
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
