//! Features: their probes, low power, bus mastering.

use std::os::fd::AsFd;

use passthru_lab::devices::{EDU, NVME};
use passthru_vfio::device::{Error, Event, Feature, Region};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::edu::decode;
use crate::taken::{mtty_two, take};

#[test]
fn feature_probe_changes_nothing() {
    let taken = take(NVME);
    let device = taken.device();
    let supported = [
        Feature::LowPowerEntry,
        Feature::LowPowerEntryWithWakeup,
        Feature::LowPowerExit,
        Feature::DmaBuf,
    ];
    let unsupported = [
        Feature::VfToken,
        Feature::Migration,
        Feature::MigrationState,
        Feature::MigrationDataSize,
        Feature::DmaLoggingStart,
        Feature::DmaLoggingStop,
        Feature::DmaLoggingReport,
        Feature::BusMaster,
        Feature::PrecopyInfo2,
        Feature::ZpciError,
    ];
    for feature in supported {
        assert!(device.supports(feature).unwrap(), "{feature}");
    }
    for feature in unsupported {
        assert!(!device.supports(feature).unwrap(), "{feature}");
    }
    let [mdev, _other] = {
        drop(device);
        drop(taken);
        mtty_two()
    };
    let device = mdev.device();

    assert!(
        device.supports(Feature::Migration).unwrap()
            && device.supports(Feature::PrecopyInfo2).unwrap()
    );
    assert!(!device.supports(Feature::LowPowerEntry).unwrap());
}

#[test]
fn low_power_is_entered_and_exited() {
    let taken = take(NVME);
    let device = taken.device();
    decode(&device, true);
    let bar = device.region(Region::BAR0).unwrap();
    let version: u32 = bar.read(8).unwrap();
    device.enter_low_power().unwrap();
    let again = device.enter_low_power().unwrap_err();

    assert!(
        matches!(
            again,
            Error::Feature {
                feature: Feature::LowPowerEntry,
                ..
            }
        ),
        "{again}"
    );

    assert_hint(&again, Errno::INVAL, "already");
    // An access by the kernel wakes the device.
    assert_eq!(bar.read::<u32>(8).unwrap(), version);

    device.exit_low_power().unwrap();
    assert_eq!(bar.read::<u32>(8).unwrap(), version);

    device.enter_low_power().unwrap();
    device.exit_low_power().unwrap();
}

#[test]
fn wakeup_signals_eventfd() {
    let taken = take(NVME);
    let device = taken.device();
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = device
        .enter_low_power_with_wakeup(file.as_fd())
        .unwrap_err();

    assert!(
        error
            .to_string()
            .contains("VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP"),
        "{error}"
    );

    let event = Event::new().unwrap();
    device.enter_low_power_with_wakeup(event.as_fd()).unwrap();
    assert_eq!(
        errno(
            &device
                .enter_low_power_with_wakeup(event.as_fd())
                .unwrap_err()
        ),
        Some(Errno::INVAL)
    );

    // The virtual host's kernel lacks CONFIG_PM and puts no device to sleep: no wakeup follows.
    device.exit_low_power().unwrap();
    assert_eq!(event.take().unwrap(), 0);

    device.enter_low_power().unwrap();
    device.exit_low_power().unwrap();
}

#[test]
fn missing_feature_is_refused_by_name() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    let errors = [
        device.enter_low_power().unwrap_err(),
        device.exit_low_power().unwrap_err(),
    ];
    for error in errors {
        assert_hint(&error, Errno::NOTTY, "does not have");
        assert!(
            error
                .to_string()
                .contains("VFIO_DEVICE_FEATURE_LOW_POWER_E"),
            "{error}"
        );
    }
}

#[test]
fn pci_device_lacks_bus_master_feature() {
    let taken = take(EDU);
    let device = taken.device();
    for on in [true, false] {
        let error = device.set_bus_master(on).unwrap_err();
        assert_hint(&error, Errno::NOTTY, "command register");
        assert!(
            error.to_string().contains("VFIO_DEVICE_FEATURE_BUS_MASTER"),
            "{error}"
        );
    }
}

#[test]
fn zpci_error_is_refused_off_s390() {
    let taken = take(EDU);
    let error = taken.device().zpci_error().unwrap_err();
    assert_hint(&error, Errno::NOTTY, "only with PCI functions of s390");
    assert!(
        error.to_string().contains("VFIO_DEVICE_FEATURE_ZPCI_ERROR"),
        "{error}"
    );
}
