//! Resets of a device, and of all devices on its bus.

use std::fs::{self, File};
use std::os::fd::AsFd;

use passthru_iommufd::BoundDevice;
use passthru_lab::devices::{EDU, NVME, SHARED_COMPANION, SHARED_FREE};
use passthru_vfio::device::{Device, Error, HotResetInfo, HotResetOwner, Region};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::edu::{decode, enable};
use crate::taken::{iommufd, take, take_two};

/// Interrupt mask of an NVMe controller: bits that are set stay set until a reset.
const INTMS: u64 = 0xc;
/// Register with the address of a ring of an e1000. 0 after a reset.
const TDBAL: u64 = 0x3800;

/// Sets a register that a reset clears. Returns its BAR.
fn write_register(device: &Device) -> Region {
    decode(device, true);
    let bar = device.region(Region::BAR0).unwrap();
    bar.write(INTMS, 5u32).unwrap();
    assert_eq!(bar.read::<u32>(INTMS).unwrap(), 5);
    bar
}

#[test]
fn reset_clears_registers() {
    let taken = take(NVME);
    let device = taken.device();
    let bar = write_register(&device);
    device.reset().unwrap();
    decode(&device, true);

    assert_eq!(bar.read::<u32>(INTMS).unwrap(), 0);
}

#[test]
fn reset_of_device_without_reset_method_fails() {
    let taken = take(EDU);
    let device = taken.device();
    assert!(!device.info().unwrap().reset);

    assert_hint(&device.reset().unwrap_err(), Errno::INVAL, "hot reset");
    assert_hint(
        &device.hot_reset_info().unwrap_err(),
        Errno::NODEV,
        "neither",
    );
    assert!(matches!(
        device.hot_reset(&[]),
        Err(Error::HotReset { groups: 0, .. })
    ));
}

#[test]
fn bus_of_one_device_resets_without_proof() {
    let taken = take(NVME);
    let bound = taken.bound();
    let device = bound.device();
    let info = device.hot_reset_info().unwrap();

    assert_eq!(info.owned, Some(true));
    assert_eq!(info.devices.len(), 1);
    assert_eq!(info.devices[0].address, NVME.parse().unwrap());
    assert_eq!(info.devices[0].owner, HotResetOwner::Bound(bound.id()));

    // A device that was opened by its character device accepts no proof.
    let file = File::open("/dev/null").unwrap();
    assert_hint(
        &device.hot_reset(&[file.as_fd()]).unwrap_err(),
        Errno::INVAL,
        "open all affected devices",
    );
    let bar = write_register(device);
    device.hot_reset(&[]).unwrap();
    decode(device, true);
    assert_eq!(bar.read::<u32>(INTMS).unwrap(), 0);
}

/// Returns the owner of an affected device.
fn owner(info: &HotResetInfo, address: &str) -> Option<HotResetOwner> {
    let address = address.parse().unwrap();
    let device = info
        .devices
        .iter()
        .find(|device| device.address == address)?;
    Some(device.owner)
}

#[test]
fn bus_resets_when_all_devices_are_owned() {
    let [one, other] = take_two(SHARED_FREE, SHARED_COMPANION);
    let context = iommufd();
    let first = one.bind(&context);
    // The other device is in the same group, so no other process can have it.
    let info = first.device().hot_reset_info().unwrap();
    let first_owner = HotResetOwner::Bound(first.id());

    assert_eq!(info.owned, Some(true));
    assert_eq!(owner(&info, SHARED_FREE), Some(first_owner));
    assert_eq!(owner(&info, SHARED_COMPANION), Some(HotResetOwner::Owned));

    let second = other.bind(&context);
    let info = first.device().hot_reset_info().unwrap();
    let second_owner = HotResetOwner::Bound(second.id());
    assert_eq!(info.owned, Some(true));
    assert_eq!(owner(&info, SHARED_FREE), Some(first_owner));
    assert_eq!(owner(&info, SHARED_COMPANION), Some(second_owner));

    enable(second.device());
    let bar = second.device().region(Region::BAR0).unwrap();
    bar.write(TDBAL, 0x1000u32).unwrap();
    assert_eq!(bar.read::<u32>(TDBAL).unwrap(), 0x1000);

    first.device().hot_reset(&[]).unwrap();
    enable(second.device());
    assert_eq!(bar.read::<u32>(TDBAL).unwrap(), 0);
}

#[test]
fn bus_with_unowned_device_is_not_reset() {
    let [one, other] = take_two(SHARED_FREE, SHARED_COMPANION);
    drop(other);
    let driver = format!("/sys/bus/pci/devices/{SHARED_COMPANION}/driver");
    fs::write(format!("{driver}/unbind"), SHARED_COMPANION).unwrap();
    let bound = one.bound();
    let info = bound.device().hot_reset_info().unwrap();

    assert_eq!(info.owned, Some(false));
    assert!(
        info.devices
            .iter()
            .any(|device| device.owner == HotResetOwner::NotOwned),
        "{info:?}"
    );

    let error = bound.device().hot_reset(&[]).unwrap_err();
    assert!(error.hint().is_some() && errno(&error).is_some(), "{error}");

    drop(bound);
    fs::write("/sys/bus/pci/drivers_probe", SHARED_COMPANION).unwrap();
}
