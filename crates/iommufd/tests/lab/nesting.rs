//! Page tables of a guest over a nest parent, and invalidations.

use std::sync::Arc;

use passthru_iommufd::{Error, Hwpt, HwptOptions, Invalidations, VtdS1Invalidation};
use rustix::io::Errno;

use crate::mock::{self, Device, has_cached, words};
use crate::{assert_hint, ioas, nest_parent};

/// Returns invalidations of cached entries of the mock's page table, by their numbers.
fn entries(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| words(&[0, *number]))
        .collect()
}

fn raw(entries: &[u8]) -> Invalidations<'_> {
    Invalidations::Raw {
        data_type: mock::INVALIDATION,
        entry_length: 8,
        entries,
    }
}

fn nested(device: &Device, parent: &Arc<Hwpt>) -> Hwpt {
    Hwpt::alloc(device, parent, &mock::guest(7)).unwrap()
}

#[test]
fn guest_page_table_keeps_its_nest_parent() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let parent = nest_parent(&device, &ioas);
    let nested = nested(&device, &parent);
    device.replace(nested.id()).unwrap();
    let id = parent.id();
    drop((parent, device));

    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));

    nested.close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn guest_page_table_without_nest_parent_is_refused() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let plain = Arc::new(Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap());
    let error = Hwpt::alloc(&device, &plain, &mock::guest(7)).unwrap_err();
    assert_hint(&error, Errno::INVAL, "nest parent");
    let nest_parent = HwptOptions {
        nest_parent: true,
        ..mock::guest(7)
    };
    let parent = crate::nest_parent(&device, &ioas);
    let error = Hwpt::alloc(&device, &parent, &nest_parent).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "leave options out");
}

#[test]
fn cached_entries_are_invalidated_in_one_call() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let nested = nested(&device, &nest_parent(&device, &ioas));
    assert!(has_cached(&nested, [7; 4]));

    nested.invalidate(raw(&entries(&[1, 2]))).unwrap();
    assert!(has_cached(&nested, [7, 0, 0, 7]));
}

#[test]
fn failed_invalidation_reports_the_number_handled_before() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let nested = nested(&device, &nest_parent(&device, &ioas));
    let error = nested.invalidate(raw(&entries(&[0, 3, 4, 1]))).unwrap_err();

    assert!(
        matches!(
            error,
            Error::Invalidate {
                entries: 4,
                handled: 2,
                ..
            }
        ),
        "{error:?}"
    );

    assert_hint(&error, Errno::INVAL, "the object's IOMMU");
    assert!(has_cached(&nested, [0, 7, 7, 0]));
}

#[test]
fn empty_invalidation_checks_the_type() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let nested = nested(&device, &nest_parent(&device, &ioas));
    nested.invalidate(raw(&[])).unwrap();
    let error = nested.invalidate(Invalidations::VtdS1(&[])).unwrap_err();
    assert_hint(&error, Errno::INVAL, "the object's IOMMU");

    assert!(has_cached(&nested, [7; 4]));
}

#[test]
fn malformed_invalidations_are_refused_and_none_is_handled() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let parent = nest_parent(&device, &ioas);
    let nested = nested(&device, &parent);
    let refused = [
        nested
            .invalidate(Invalidations::VtdS1(&[VtdS1Invalidation::ALL]))
            .unwrap_err(),
        nested.invalidate(raw(&entries(&[0, 1])[..12])).unwrap_err(),
        parent.invalidate(raw(&entries(&[0]))).unwrap_err(),
    ];
    for error in refused {
        assert_hint(&error, Errno::INVAL, "the object's IOMMU");
        assert!(
            matches!(error, Error::Invalidate { handled: 0, .. }),
            "{error:?}"
        );
    }

    assert!(has_cached(&nested, [7; 4]));
}
