//! Steps from a source to an attached device and back, and the state after a failed step.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use passthru_iommufd::{Hwpt, HwptOptions, Ioas, Iommufd};
use passthru_lab::devices::{EDU, NVME, SHARED_COMPANION, SHARED_FREE};
use passthru_vfio::Failed;
use passthru_vfio::device::{Cdev, DeviceKind, Error, Source, Target};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use super::{assert_hint, errno};
use crate::taken::{iommufd, mtty_two, take, take_two};

fn ioas(context: &Arc<Iommufd>) -> Arc<Ioas> {
    Arc::new(Ioas::alloc(context).unwrap())
}

#[test]
fn device_is_found_by_every_source() {
    let taken = take(EDU);
    let location = taken.source().locate().unwrap();
    assert_eq!(location.kind(), DeviceKind::Pci(EDU.parse().unwrap()));

    let cdev = location.cdev().unwrap();
    let address = Source::Pci(EDU.parse().unwrap());
    // An inherited descriptor is not close-on-exec.
    let fd: OwnedFd = Cdev::open(&cdev).unwrap().into();
    fcntl_setfd(&fd, FdFlags::empty()).unwrap();
    for source in [Source::Cdev(cdev), address, Source::Fd(fd)] {
        assert_eq!(source.locate().unwrap(), location);
        let open = source.open().unwrap();
        assert!(
            fcntl_getfd(open.as_fd())
                .unwrap()
                .contains(FdFlags::CLOEXEC)
        );
    }
}

#[test]
fn mediated_device_is_recognized_by_descriptor() {
    let [taken, _other] = mtty_two();
    let fd = Cdev::open(&taken.source().locate().unwrap().cdev().unwrap()).unwrap();
    let context = iommufd();
    let bound = Source::Fd(fd.into())
        .open()
        .unwrap()
        .bind(&context, None)
        .unwrap();

    assert_eq!(bound.device().location().kind(), DeviceKind::Mdev);
    assert!(bound.device().is_mdev() && bound.device().location().group().is_some());

    // A mediated device has no page table, but reaches memory through the address space.
    let ioas = ioas(&context);
    let mut attached = bound.attach(Arc::clone(&ioas)).unwrap();
    attached.replace(self::ioas(&context)).unwrap();
    Arc::into_inner(ioas).unwrap().close().unwrap();
    attached.detach().unwrap();
}

#[test]
fn pci_device_is_not_mediated() {
    let taken = take(EDU);
    assert!(!taken.device().is_mdev());
}

#[test]
fn device_without_vfio_driver_cannot_be_opened() {
    let _host = passthru_lab::host();
    let error = Source::Pci(passthru_lab::devices::UPLINK.parse().unwrap())
        .open()
        .unwrap_err();
    assert!(matches!(error, Error::NoCdev { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn second_open_file_binds_after_first_closes() {
    let taken = take(EDU);
    let first = taken.bound();
    let context = iommufd();
    let Failed { state, error } = taken
        .source()
        .open()
        .unwrap()
        .bind(&context, None)
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "which is bound already");
    drop(first);
    state.bind(&context, None).unwrap();
}

#[test]
fn device_binds_after_other_owner_of_group_closes() {
    let [one, other] = take_two(SHARED_FREE, SHARED_COMPANION);
    let first = one.bound();
    let context = iommufd();
    let Failed { state, error } = other
        .source()
        .open()
        .unwrap()
        .bind(&context, None)
        .unwrap_err();
    assert_hint(&error, Errno::PERM, "of its group");
    drop(first);
    state.bind(&context, None).unwrap();
}

#[test]
fn bound_file_is_refused_as_source() {
    let taken = take(EDU);
    let bound = taken.bound();
    let copy = bound.device().as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(
        Cdev::from_fd(copy).unwrap_err(),
        Error::Bound { .. }
    ));
}

#[test]
fn device_is_attached_replaced_and_detached() {
    let taken = take(EDU);
    let context = iommufd();
    let one = ioas(&context);
    let other = ioas(&context);
    let mut attached = taken.bind(&context).attach(Arc::clone(&one)).unwrap();

    assert!(one.unmap_all().is_ok());

    attached.replace(Arc::clone(&other)).unwrap();
    let Some(Target::Ioas(now)) = attached.target() else {
        panic!("detached")
    };
    assert_eq!(now.id(), other.id());

    drop(now);
    Arc::into_inner(one).unwrap().close().unwrap();
    let bound = attached.detach().unwrap();
    Arc::into_inner(other).unwrap().close().unwrap();
    bound.attach(ioas(&context)).unwrap();
}

#[test]
fn device_is_attached_to_its_hwpt() {
    let taken = take(EDU);
    let context = iommufd();
    let bound = taken.bind(&context);
    let ioas = ioas(&context);
    let table = Arc::new(Hwpt::alloc(&bound, &ioas, &HwptOptions::default()).unwrap());
    let mut attached = bound.attach(Arc::clone(&table)).unwrap();

    assert_eq!(attached.target().unwrap().id(), table.id());

    attached.replace(ioas).unwrap();
    Arc::into_inner(table).unwrap().close().unwrap();
}

#[test]
fn failed_attach_leaves_device_bound() {
    let taken = take(EDU);
    let context = iommufd();
    let elsewhere = ioas(&iommufd());
    let Failed { state, error } = taken
        .bind(&context)
        .attach(Arc::clone(&elsewhere))
        .unwrap_err();

    assert!(matches!(error, Error::OtherContext { .. }), "{error}");

    // The device cannot use the allowed IOVAs of this address space.
    let narrow = ioas(&context);
    narrow.allow_iovas(&[0xfee0_0000..=0xfee0_ffff]).unwrap();
    let Failed { state, error } = state.attach(narrow).unwrap_err();
    assert_hint(&error, Errno::ADDRINUSE, "a separate address space");
    state.attach(ioas(&context)).unwrap();
}

#[test]
fn refused_replace_keeps_former_target() {
    let taken = take(EDU);
    let (mut attached, former) = taken.attached();
    let narrow = ioas(former.context());
    narrow.allow_iovas(&[0xfee0_0000..=0xfee0_ffff]).unwrap();
    let error = attached.replace(narrow).unwrap_err();

    assert_eq!(errno(&error), Some(Errno::ADDRINUSE), "{error}");
    assert_eq!(attached.target().unwrap().id(), former.id());
    // The kernel still has the device attached there.
    assert!(former.allow_iovas(&[0xfee0_0000..=0xfee0_ffff]).is_err());
}

#[test]
fn dropped_attachment_detaches_open_device() {
    let taken = take(EDU);
    let (attached, ioas) = taken.attached();
    let device = attached.device().clone();
    drop(attached);
    Arc::into_inner(ioas).unwrap().close().unwrap();
    device.info().unwrap();
}

#[test]
fn device_lives_until_last_handle_drops() {
    let taken = take(NVME);
    let device = taken.device();
    let info = device.info().unwrap();
    assert!(
        info.reset && info.regions >= 9 && info.irqs >= 5,
        "{info:?}"
    );

    device.reset().unwrap();
}

#[test]
fn pasid_attach_is_refused_without_pasid_support() {
    let taken = take(EDU);
    let context = iommufd();
    let bound = taken.bind(&context);
    let error = bound.attach_pasid(1, ioas(&context)).unwrap_err();

    assert!(
        matches!(error, Error::Attach { pasid: Some(1), .. }),
        "{error}"
    );
    assert!(error.to_string().contains("PASID 1"), "{error}");

    assert_hint(&error, Errno::INVAL, "own for PASIDs");
    bound.attach(ioas(&context)).unwrap();
}
