//! [`MigrationState`]: the states of a device's migration, version 2.

use std::fmt;

#[cfg(test)]
use vfio_bindings::bindings::vfio::*;

/// A state of a device's migration (`enum vfio_device_mig_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationState {
    /// A failure. The device must be reset.
    Error,
    /// The device is stopped.
    Stop,
    /// The device runs.
    Running,
    /// The device is stopped, and its state is read.
    StopCopy,
    /// The device is stopped, and its state is written.
    Resuming,
    /// The device runs, without DMA to other devices.
    RunningP2p,
    /// The device runs, and a part of its state is read.
    PreCopy,
    /// The device runs without DMA to other devices, and a part of its state is read.
    PreCopyP2p,
    /// An unknown state, by the kernel's number.
    Other(u32),
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
    fn states_have_the_numbers_of_the_kernel() {
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
