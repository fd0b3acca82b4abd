//! Migration, version 2: [`MigrationFlags`], and the file [`MigrationData`] that a device's state
//! flows through.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bitflags::bitflags;
use vfio_bindings::bindings::vfio::*;

use crate::device::Error;
use crate::sys;

bitflags! {
    /// Abilities of a device that can be migrated. Unknown flags are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MigrationFlags: u64 {
        /// The state can be read while the device is stopped (`VFIO_MIGRATION_STOP_COPY`).
        const STOP_COPY = VFIO_MIGRATION_STOP_COPY as u64;
        /// The device can first stop its DMA to other devices (`VFIO_MIGRATION_P2P`).
        const P2P = VFIO_MIGRATION_P2P as u64;
        /// A part of the state can be read while the device runs (`VFIO_MIGRATION_PRE_COPY`).
        const PRE_COPY = VFIO_MIGRATION_PRE_COPY as u64;
        const _ = !0;
    }
}

/// File of a data transfer, in one direction.
///
/// It is read to its end when the device is saved, and written when the device is resumed. Its
/// contents belong to the device's driver.
///
/// ```no_run
/// # use passthru_vfio::device::{Device, MigrationState};
/// # use std::io;
/// # fn with(from: &Device, to: &Device) -> Result<(), Box<dyn std::error::Error>> {
/// if let Some(mut saved) = from.set_migration_state(MigrationState::StopCopy)?
///     && let Some(mut resumed) = to.set_migration_state(MigrationState::Resuming)?
/// {
///     io::copy(&mut saved, &mut resumed)?;
///     to.set_migration_state(MigrationState::Running)?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// While the device still runs ([`MigrationState::PreCopy`](super::MigrationState::PreCopy)), a
/// read fails with `ENOMSG` if there is nothing to read for now.
#[derive(Debug)]
pub struct MigrationData {
    fd: OwnedFd,
    device: String,
}

/// Estimate of the bytes that are left to read of a device that still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrecopySize {
    /// Bytes of the initial state. It pays to wait until they are read.
    pub initial: u64,
    /// Bytes of changes since then.
    pub dirty: u64,
    /// The device has a new initial state, for example after it was reconfigured. Only set after
    /// [`Device::enable_precopy_reinit`](super::Device::enable_precopy_reinit).
    pub reinit: bool,
}

impl MigrationData {
    pub(super) fn new(fd: OwnedFd, device: String) -> Self {
        Self { fd, device }
    }

    /// Estimates the bytes that are left to read (`VFIO_MIG_GET_PRECOPY_INFO`).
    ///
    /// The device is in [`PreCopy`](super::MigrationState::PreCopy) or
    /// [`PreCopyP2p`](super::MigrationState::PreCopyP2p).
    ///
    /// # Errors
    /// [`Error::Precopy`]; `EINVAL` in other states.
    pub fn precopy(&self) -> Result<PrecopySize, Error> {
        let raw = sys::device::precopy_info(self.fd.as_fd()).map_err(|e| Error::Precopy {
            device: self.device.clone(),
            source: e.into(),
        })?;
        Ok(PrecopySize {
            initial: raw.initial_bytes,
            dirty: raw.dirty_bytes,
            reinit: raw.flags & VFIO_PRECOPY_INFO_REINIT != 0,
        })
    }
}

impl Read for MigrationData {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.fd, buffer)?)
    }
}

impl Write for MigrationData {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.fd, buffer)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for MigrationData {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<MigrationData> for OwnedFd {
    fn from(data: MigrationData) -> Self {
        data.fd
    }
}
