//! Migration, version 2: the states that a device goes through, and the file that its state flows
//! through.

use crate::device::{Device, Error, Feature};
use crate::sys;
use bitflags::bitflags;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vfio_bindings::bindings::vfio::*;

bitflags! {
    /// What a device that can be migrated is able to do. Flags of later kernels are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Migration: u64 {
        /// Its state is read while it is stopped (`VFIO_MIGRATION_STOP_COPY`).
        const STOP_COPY = VFIO_MIGRATION_STOP_COPY as u64;
        /// It can cease its DMA to other devices first (`VFIO_MIGRATION_P2P`).
        const P2P = VFIO_MIGRATION_P2P as u64;
        /// A part of its state can be read while it runs (`VFIO_MIGRATION_PRE_COPY`).
        const PRE_COPY = VFIO_MIGRATION_PRE_COPY as u64;
        const _ = !0;
    }
}

/// A state of a device's migration (`enum vfio_device_mig_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationState {
    /// It failed, and must be reset.
    Error,
    /// It does and changes nothing.
    Stop,
    /// It runs.
    Running,
    /// It does nothing, and its state is read.
    StopCopy,
    /// It does nothing, and gets a state.
    Resuming,
    /// It runs, without DMA to other devices.
    RunningP2p,
    /// It runs, and its state is read already.
    PreCopy,
    /// The same, without DMA to other devices.
    PreCopyP2p,
    /// A state that is not known here.
    Other(u32),
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
pub struct Precopy {
    /// Bytes of the state that it had at first; it is worth to wait until there are none.
    pub initial: u64,
    /// Bytes of what has changed since.
    pub dirty: u64,
    /// Whether it has a new state at first, as after it was reconfigured: only with
    /// [`Device::enable_precopy_reinit`].
    pub reinit: bool,
}

impl Device {
    /// Asks what the device can do of migration (`VFIO_DEVICE_FEATURE_MIGRATION`).
    ///
    /// # Errors
    /// [`Error::Feature`], also where it cannot be migrated.
    pub fn migration(&self) -> Result<Migration, Error> {
        let flags =
            sys::feature::migration(self.as_fd()).map_err(self.failed(Feature::Migration))?;
        Ok(Migration::from_bits_retain(flags))
    }

    /// Asks for the state (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn migration_state(&self) -> Result<MigrationState, Error> {
        let state = sys::feature::migration_state(self.as_fd());
        state
            .map(MigrationState::from)
            .map_err(self.failed(Feature::MigrationState))
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
            Ok(fd) => Ok(fd.map(|fd| MigrationData {
                fd,
                device: self.name(),
            })),
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
            .map_err(self.failed(Feature::MigrationDataSize))
    }

    /// Lets [`Precopy::reinit`] be told (`VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`).
    ///
    /// # Errors
    /// [`Error::Feature`].
    pub fn enable_precopy_reinit(&self) -> Result<(), Error> {
        sys::feature::set(self.as_fd(), Feature::PrecopyInfo2 as u32)
            .map_err(self.failed(Feature::PrecopyInfo2))
    }
}

impl MigrationData {
    /// Estimates how much there is to read, of a device in [`MigrationState::PreCopy`]
    /// (`VFIO_MIG_GET_PRECOPY_INFO`).
    ///
    /// # Errors
    /// [`Error::Precopy`], also in other states.
    pub fn precopy(&self) -> Result<Precopy, Error> {
        let failed = |e: rustix::io::Errno| Error::Precopy {
            device: self.device.clone(),
            source: e.into(),
        };
        let raw = sys::device::precopy_info(self.fd.as_fd()).map_err(failed)?;
        Ok(Precopy {
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

/// The states, by the kernel's numbers.
const STATES: [MigrationState; 8] = [
    MigrationState::Error,
    MigrationState::Stop,
    MigrationState::Running,
    MigrationState::StopCopy,
    MigrationState::Resuming,
    MigrationState::RunningP2p,
    MigrationState::PreCopy,
    MigrationState::PreCopyP2p,
];

impl From<u32> for MigrationState {
    fn from(number: u32) -> Self {
        STATES
            .get(number as usize)
            .copied()
            .unwrap_or(Self::Other(number))
    }
}

impl From<MigrationState> for u32 {
    fn from(state: MigrationState) -> Self {
        match state {
            MigrationState::Other(number) => number,
            known => STATES
                .iter()
                .position(|state| *state == known)
                .map_or(Self::MAX, |at| at as Self),
        }
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("ERROR"),
            Self::Stop => f.write_str("STOP"),
            Self::Running => f.write_str("RUNNING"),
            Self::StopCopy => f.write_str("STOP_COPY"),
            Self::Resuming => f.write_str("RESUMING"),
            Self::RunningP2p => f.write_str("RUNNING_P2P"),
            Self::PreCopy => f.write_str("PRE_COPY"),
            Self::PreCopyP2p => f.write_str("PRE_COPY_P2P"),
            Self::Other(number) => write!(f, "state {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_kernels_numbers() {
        assert_eq!(
            u32::from(MigrationState::Running),
            vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING
        );
        assert_eq!(
            u32::from(MigrationState::PreCopyP2p),
            vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY_P2P
        );
        for number in 0..=vfio_device_mig_state_VFIO_DEVICE_STATE_NR {
            assert_eq!(u32::from(MigrationState::from(number)), number);
        }
        assert_eq!(MigrationState::from(99), MigrationState::Other(99));
    }
}
