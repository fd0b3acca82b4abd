//! Page tables: allocation, refusals, lifetime.

use std::sync::Arc;

use passthru_iommufd::{Access, BoundDevice, Error, Hwpt, HwptData, HwptOptions, Iova};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::{LENGTH, assert_hint, errno, ioas, memory};

#[test]
fn page_table_has_the_mappings_of_its_ioas() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let memory = memory(LENGTH);
    let before = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();
    let hwpt = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap();
    device.replace(hwpt.id()).unwrap();
    let after = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();

    assert!(device.reaches(before.iova(), &memory) && device.reaches(after.iova(), &memory));

    drop(device);
    hwpt.close().unwrap();
}

#[test]
fn page_table_keeps_its_ioas() {
    let ioas = ioas();
    let context = Arc::clone(ioas.context());
    let id = ioas.id();
    let device = Device::attach(&ioas).unwrap();
    let hwpt = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap();
    drop(ioas);
    drop(device);

    assert_eq!(mock::destroy(&context, id), Err(Errno::BUSY));

    hwpt.close().unwrap();
    assert_eq!(mock::destroy(&context, id), Err(Errno::NOENT));
}

#[test]
fn page_table_in_use_is_not_destroyed() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let hwpt = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap();
    device.replace(hwpt.id()).unwrap();
    let id = hwpt.id();
    assert_hint(&hwpt.close().unwrap_err(), Errno::BUSY, "detach");
    drop(device);
    mock::destroy(ioas.context(), id).unwrap();
}

#[test]
fn option_that_the_iommu_lacks_is_refused() {
    let ioas = ioas();
    let device = Device::with(&ioas, mock::NO_DIRTY_TRACKING).unwrap();
    let options = HwptOptions {
        dirty_tracking: true,
        ..HwptOptions::default()
    };
    let error = Hwpt::alloc(&device, &ioas, &options).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "leave options out");

    assert!(error.to_string().contains("dirty tracking"), "{error}");

    let options = HwptOptions {
        data: Some(HwptData::ArmSmmuv3 { ste: [1, 0] }),
        ..HwptOptions::default()
    };
    let error = Hwpt::alloc(&device, &ioas, &options).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "leave options out");
    assert!(error.to_string().contains("type 2"), "{error}");
}

#[test]
fn page_table_of_two_contexts_is_refused() {
    let ioas = ioas();
    let other = crate::ioas();
    let device = Device::attach(&other).unwrap();
    let error = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap_err();
    let ids = (device.id(), ioas.id());

    assert!(
        matches!(error, Error::OtherContext { object, other } if (object, other) == ids),
        "{error:?}"
    );
    assert_eq!(errno(&error), None);
}
