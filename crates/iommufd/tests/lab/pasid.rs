//! Page tables for PASIDs of a device.

use std::sync::Arc;

use passthru_iommufd::{Hwpt, HwptOptions, Ioas};
use rustix::io::Errno;

use crate::ioas;
use crate::mock::{self, Device};

fn hwpt(device: &Device, ioas: &Arc<Ioas>, pasid: bool) -> Hwpt {
    let options = HwptOptions {
        pasid,
        ..HwptOptions::default()
    };
    Hwpt::alloc(device, ioas, &options).unwrap()
}

#[test]
fn page_table_for_pasids_is_attached_and_replaced() {
    let ioas = ioas();
    let device = Device::with(&ioas, mock::PASID).unwrap();
    let tables = [(); 3].map(|()| hwpt(&device, &ioas, true));
    device.replace(tables[0].id()).unwrap();
    device.attach_pasid(100, tables[1].id()).unwrap();

    assert!(device.pasid_is_at(100, tables[1].id()));

    device.replace_pasid(100, tables[2].id()).unwrap();
    assert!(device.pasid_is_at(100, tables[2].id()));

    device.detach_pasid(100);
    assert!(device.pasid_is_at(100, 0));
}

#[test]
fn page_table_without_pasids_is_not_attached_to_a_pasid() {
    let ioas = ioas();
    let device = Device::with(&ioas, mock::PASID).unwrap();
    let plain = hwpt(&device, &ioas, false);
    let for_pasids = hwpt(&device, &ioas, true);
    device.replace(for_pasids.id()).unwrap();

    assert_eq!(device.attach_pasid(100, plain.id()), Err(Errno::INVAL));
    assert!(device.pasid_is_at(100, 0));
}

#[test]
fn pasid_keeps_its_page_table() {
    let ioas = ioas();
    let device = Device::with(&ioas, mock::PASID).unwrap();
    let tables = [(); 2].map(|()| hwpt(&device, &ioas, true));
    device.replace(tables[0].id()).unwrap();
    device.attach_pasid(100, tables[1].id()).unwrap();

    assert_eq!(
        mock::destroy(ioas.context(), tables[1].id()),
        Err(Errno::BUSY)
    );

    device.detach_pasid(100);
}
