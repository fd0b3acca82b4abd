//! MigrationFlags, version 2: the abilities of a device, and the file that its state flows through.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bitflags::bitflags;
use vfio_bindings::bindings::vfio::*;

use crate::device::Error;
use crate::sys;

bitflags! {
    /// What a device that can be migrated is able to do. Flags of later kernels are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MigrationFlags: u64 {
        /// Its state is read while it is stopped (`VFIO_MIGRATION_STOP_COPY`).
        const STOP_COPY = VFIO_MIGRATION_STOP_COPY as u64;
        /// It can cease its DMA to other devices first (`VFIO_MIGRATION_P2P`).
        const P2P = VFIO_MIGRATION_P2P as u64;
        /// A part of its state can be read while it runs (`VFIO_MIGRATION_PRE_COPY`).
        const PRE_COPY = VFIO_MIGRATION_PRE_COPY as u64;
        const _ = !0;
    }
}

/// The file that a device's state flows through, in one direction: it is read when the device is
/// saved, up to its end, and written when it is resumed. Its contents are the driver's own.
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
/// While the device runs still ([`MigrationState::PreCopy`]), reading ends with `ENOMSG` for the
/// time being.
#[derive(Debug)]
pub struct MigrationData {
    fd: OwnedFd,
    device: String,
}

/// How much there is to read yet of a device that runs still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrecopySize {
    /// Bytes of the state that it had at first; it is worth to wait until there are none.
    pub initial: u64,
    /// Bytes of what has changed since.
    pub dirty: u64,
    /// Whether it has a new state at first, as after it was reconfigured: only with
    /// [`Device::enable_precopy_reinit`](super::Device::enable_precopy_reinit).
    pub reinit: bool,
}

impl MigrationData {
    pub(super) fn new(fd: OwnedFd, device: String) -> Self {
        Self { fd, device }
    }

    /// Estimates how much there is to read, of a device in [`MigrationState::PreCopy`]
    /// (`VFIO_MIG_GET_PRECOPY_INFO`).
    ///
    /// # Errors
    /// [`Error::Precopy`], also in other states.
    pub fn precopy(&self) -> Result<PrecopySize, Error> {
        let failed = |e: rustix::io::Errno| Error::Precopy {
            device: self.device.clone(),
            source: e.into(),
        };
        let raw = sys::device::precopy_info(self.fd.as_fd()).map_err(failed)?;
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
