//! Migration of the kernel's sample device `mtty` to another one, and its DMA log.

use std::io::{Read, Write};

use passthru_iommufd::DirtyRange;
use passthru_lab::devices::EDU;
use passthru_vfio::device::{
    Device, Error, Feature, MigrationFlags, MigrationState as State, PrecopySize, Region,
};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::taken::{mtty_two, take};

/// Scratch register of a serial port, which belongs to the migrated state.
const SCRATCH: u64 = 7;

fn write_ports(device: &Device, values: [u8; 2]) {
    for (index, value) in (Region::BAR0..).zip(values) {
        device.region(index).unwrap().write(SCRATCH, value).unwrap();
    }
}

fn read_ports(device: &Device) -> [u8; 2] {
    [Region::BAR0, Region::BAR0 + 1]
        .map(|index| device.region(index).unwrap().read(SCRATCH).unwrap())
}

/// Writes migration data to a device and resumes it.
fn resume(device: &Device, state: &[u8]) -> Result<(), Error> {
    let mut data = device
        .set_migration_state(State::Resuming)
        .unwrap()
        .unwrap();
    // Any size of write is allowed.
    for chunk in state.chunks(7) {
        data.write_all(chunk).unwrap();
    }
    let data = device.set_migration_state(State::Running)?;
    assert!(data.is_none());
    Ok(())
}

#[test]
fn stopped_device_migrates_to_another() {
    let [from, to] = mtty_two();
    let from = from.device();
    let to = to.device();
    assert!(
        from.migration()
            .unwrap()
            .contains(MigrationFlags::STOP_COPY | MigrationFlags::P2P | MigrationFlags::PRE_COPY)
    );
    assert_eq!(from.migration_state().unwrap(), State::Running);

    write_ports(&from, [0xa5, 0x5a]);
    let mut data = from.set_migration_state(State::StopCopy).unwrap().unwrap();
    assert_eq!(from.migration_state().unwrap(), State::StopCopy);

    let mut state = Vec::new();
    data.read_to_end(&mut state).unwrap();
    assert_eq!(state.len() as u64, from.migration_data_size().unwrap());
    assert!(from.set_migration_state(State::Stop).unwrap().is_none());

    resume(&to, &state).unwrap();
    assert_eq!(read_ports(&to), [0xa5, 0x5a]);
    assert_eq!(to.migration_state().unwrap(), State::Running);
}

#[test]
fn precopy_data_is_completed_after_stop() {
    let [from, to] = mtty_two();
    let from = from.device();
    let to = to.device();
    from.enable_precopy_reinit().unwrap();
    write_ports(&from, [1, 2]);
    let mut data = from.set_migration_state(State::PreCopy).unwrap().unwrap();
    let PrecopySize {
        initial,
        dirty: 0,
        reinit: false,
    } = data.precopy().unwrap()
    else {
        panic!("dirty")
    };

    assert!(initial > 0);

    let mut state = vec![0; initial as usize];
    data.read_exact(&mut state).unwrap();
    assert_eq!(
        data.precopy().unwrap(),
        PrecopySize {
            initial: 0,
            dirty: 0,
            reinit: false
        }
    );

    // The device still runs: its changes come with the rest of the data.
    write_ports(&from, [3, 4]);
    assert!(
        from.set_migration_state(State::PreCopyP2p)
            .unwrap()
            .is_none()
    );
    assert!(
        from.set_migration_state(State::StopCopy).unwrap().is_none(),
        "the transfer goes on"
    );

    data.read_to_end(&mut state).unwrap();
    let error = data.precopy().unwrap_err();
    assert!(matches!(error, Error::Precopy { .. }), "{error}");

    assert_hint(&error, Errno::INVAL, "PRE_COPY");
    resume(&to, &state).unwrap();
    assert_eq!(read_ports(&to), [3, 4]);
}

#[test]
fn device_passes_all_migration_states() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    for state in [
        State::RunningP2p,
        State::Stop,
        State::RunningP2p,
        State::PreCopyP2p,
        State::PreCopy,
        State::Running,
    ] {
        device.set_migration_state(state).unwrap();
        assert_eq!(device.migration_state().unwrap(), state);
    }
}

#[test]
fn invalid_migration_transition_is_refused_with_state() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    let _data = device.set_migration_state(State::StopCopy).unwrap();
    for to in [State::PreCopy, State::Error, State::Other(99)] {
        let error = device.set_migration_state(to).unwrap_err();
        let Error::Migrate {
            now: Some(State::StopCopy),
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(errno(&error), Some(Errno::INVAL));
        assert!(
            error.to_string().contains("its current state is STOP_COPY"),
            "{error}"
        );
    }

    device.set_migration_state(State::Running).unwrap();
}

#[test]
fn truncated_migration_data_is_refused_until_reset() {
    let [from, to] = mtty_two();
    let from = from.device();
    let to = to.device();
    let mut state = Vec::new();
    from.set_migration_state(State::StopCopy)
        .unwrap()
        .unwrap()
        .read_to_end(&mut state)
        .unwrap();
    state.pop();
    let error = resume(&to, &state).unwrap_err();

    assert!(
        matches!(
            &error,
            Error::Migrate {
                now: Some(State::Resuming),
                ..
            }
        ),
        "{error}"
    );

    to.reset().unwrap();
    assert_eq!(to.migration_state().unwrap(), State::Running);
}

#[test]
fn invalid_migration_data_is_refused() {
    let [_from, to] = mtty_two();
    let device = to.device();
    let mut data = device
        .set_migration_state(State::Resuming)
        .unwrap()
        .unwrap();
    assert!(data.write_all(&[0xee; 64]).is_err());
    assert!(
        data.read(&mut [0; 8]).is_err(),
        "the file of a resuming device can only be written"
    );

    device.reset().unwrap();
}

#[test]
fn device_without_migration_is_refused() {
    let taken = take(EDU);
    let device = taken.device();
    let errors = [
        device.migration().unwrap_err(),
        device.migration_state().unwrap_err(),
        device.migration_data_size().unwrap_err(),
    ];
    for error in errors {
        assert_hint(&error, Errno::NOTTY, "does not have");
    }

    assert!(matches!(
        device.set_migration_state(State::Stop),
        Err(Error::Migrate { now: None, .. })
    ));
    assert!(matches!(
        device.enable_precopy_reinit(),
        Err(Error::Feature {
            feature: Feature::PrecopyInfo2,
            ..
        })
    ));
}

#[test]
fn dma_log_starts_reports_and_stops() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    assert!(device.supports(Feature::DmaLoggingStart).unwrap());

    let chosen = device
        .start_dma_logging(0x1000, &[0..=0xffff, 0x10_0000..=0x10_ffff])
        .unwrap();
    assert_eq!(chosen, 0x1000);

    // The sample does no DMA. Set bits of the bitmap stay set.
    let mut bitmap = [0b101];
    device
        .read_dma_log(DirtyRange::new(0, 0x10000, 0x1000), &mut bitmap)
        .unwrap();
    assert_eq!(bitmap, [0b101]);

    device.stop_dma_logging().unwrap();
}

#[test]
fn invalid_dma_log_is_refused() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    for iovas in [
        [].as_slice(),
        &[0..=u64::MAX],
        &[0x1000..=0x1fff, 0x1000..=0x1fff],
    ] {
        let error = device.start_dma_logging(0x1000, iovas).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Feature {
                    feature: Feature::DmaLoggingStart,
                    ..
                }
            ),
            "{error}"
        );
    }

    // A bitmap that is too short does not reach the kernel.
    let error = device
        .read_dma_log(DirtyRange::new(0, 65 * 0x1000, 0x1000), &mut [0])
        .unwrap_err();

    assert_eq!(errno(&error), Some(Errno::INVAL));
    assert!(
        device
            .read_dma_log(DirtyRange::new(0, 0x1000, 0), &mut [0])
            .is_err()
    );
}

#[test]
fn device_without_dma_log_is_refused() {
    let taken = take(EDU);
    let device = taken.device();
    let errors = [
        device.start_dma_logging(0x1000, &[0..=0xffff]).unwrap_err(),
        device
            .read_dma_log(DirtyRange::new(0, 0x1000, 0x1000), &mut [0])
            .unwrap_err(),
        device.stop_dma_logging().unwrap_err(),
    ];
    for error in errors {
        assert_hint(&error, Errno::NOTTY, "does not have");
    }
}
