//! Features of iommufd alone: other targets than the container's mappings, and BARs by dma-buf.

use std::os::fd::AsFd;
use std::sync::Arc;

use passthru_iommufd::{DmaMemory, Hwpt, HwptOptions, Ioas, Iommufd};
use passthru_lab::devices::{CMB_NVME, EDU, NVME};
use passthru_vfio::Failed;
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Candidate, Container, Containers, Error, Member, Options,
};
use passthru_vfio::device::{Region, Target};
use rustix::io::Errno;

use crate::conformance::{PAGE, at, attach, choose, map, memory, only, reaches};
use crate::edu::{Edu, enable};
use crate::taken::{iommufd, take, take_two};

const FROM: u64 = 0x10_0000;
const TO: u64 = 0x20_0000;
/// Index of the BAR with the controller's memory buffer.
const BUFFER: u32 = 2;

/// Opens an empty container on an iommufd.
fn on(context: &Arc<Iommufd>) -> Arc<dyn Container> {
    let iommufd = Some(Arc::clone(context));
    choose(Options {
        iommufd,
        policy: only(Backend::Iommufd),
        ..Options::default()
    })
    .container
}

/// Makes options that attach to a target.
fn to(target: impl Into<Target>) -> AttachOptions {
    AttachOptions {
        target: Some(target.into()),
        ..AttachOptions::default()
    }
}

#[test]
fn nested_hwpt_has_container_mappings() {
    let taken = take(EDU);
    let container = on(&iommufd());
    let from = memory(1);
    let dest = memory(1);
    map(&*container, from, FROM, Access::Read).unwrap();
    map(&*container, dest, TO, Access::ReadWrite).unwrap();
    let mut member = attach(&container, EDU);
    let ioas = container.ioas().unwrap();
    let table =
        Arc::new(Hwpt::alloc(member.bound().unwrap(), ioas, &HwptOptions::default()).unwrap());
    member.replace(Some(Arc::clone(&table).into())).unwrap();

    assert!(reaches(&member, (from, FROM), (dest, TO)));

    let Candidate::Bound(bound) = member.detach().unwrap() else {
        panic!("the device is not bound")
    };
    let mut member = container
        .attach(bound.into(), to(Arc::clone(&table)))
        .unwrap();
    assert!(reaches(&member, (from, FROM), (dest, TO)));

    // The table does not report dirty pages, so the container cannot track them.
    container.set_dirty_tracking(true).unwrap_err();
    member.replace(None).unwrap();
    assert!(reaches(&member, (from, FROM), (dest, TO)));

    Arc::into_inner(table).unwrap().close().unwrap();
    drop(taken);
}

#[test]
fn replaced_device_does_not_reach_container() {
    let taken = take(EDU);
    let context = iommufd();
    let container = on(&context);
    let from = memory(1);
    let dest = memory(1);
    map(&*container, from, FROM, Access::Read).unwrap();
    map(&*container, dest, TO, Access::ReadWrite).unwrap();
    let elsewhere = Arc::new(Ioas::alloc(&context).unwrap());
    let mut member = container.attach(at(EDU), to(elsewhere)).unwrap();

    assert!(!reaches(&member, (from, FROM), (dest, TO)));

    member.replace(None).unwrap();
    assert!(reaches(&member, (from, FROM), (dest, TO)));

    drop(taken);
}

/// No device of the virtual host has PASIDs. The container's own checks come before the kernel's
/// refusal.
#[test]
fn pasid_target_counts_for_dirty_tracking() {
    let taken = take(EDU);
    let context = iommufd();
    let container = on(&context);
    let elsewhere = Arc::new(Ioas::alloc(&context).unwrap());
    let member = container
        .attach(at(EDU), to(Arc::clone(&elsewhere)))
        .unwrap();
    container.set_dirty_tracking(true).unwrap();
    let ioas = container.ioas().unwrap();
    let error = member.attach_pasid(1, Arc::clone(ioas)).unwrap_err();
    let Error::NoDirtyTracking { devices } = error else {
        panic!("{error}")
    };

    assert_eq!(devices, [format!("{EDU} (PASID 1)")]);

    let table =
        Arc::new(Hwpt::alloc(member.bound().unwrap(), ioas, &HwptOptions::default()).unwrap());
    let error = member.attach_pasid(1, table).unwrap_err();
    assert!(matches!(error, Error::Iommufd(_)), "{error}");

    let error = member.attach_pasid(1, elsewhere).unwrap_err();
    assert!(matches!(error, Error::Device(_)), "{error}");

    drop((member, taken));
}

#[test]
fn target_of_another_iommufd_leaves_device_bound() {
    let taken = take(EDU);
    let container = on(&iommufd());
    let foreign = Arc::new(Ioas::alloc(&iommufd()).unwrap());
    let Failed { state, error } = container
        .attach(at(EDU), to(Arc::clone(&foreign)))
        .unwrap_err();

    assert!(matches!(error, Error::Device(_)), "{error}");
    assert!(matches!(state, Candidate::Bound(_)));

    let mut member = container.attach(state, AttachOptions::default()).unwrap();
    member.replace(Some(foreign.into())).unwrap_err();
    member.replace(None).unwrap();
    drop(taken);
}

/// Maps the first page of a BAR at [`TO`].
fn map_bar(container: &dyn Container, bar: &Region) -> Result<(), Error> {
    let file = bar.dma_buf(0..PAGE).unwrap();
    container.map_file(file.as_fd(), 0, PAGE, TO, Access::ReadWrite)
}

/// Returns whether a copy by `edu` from memory at [`FROM`] to [`TO`] reaches the BAR.
fn writes_arrive(edu: &Member, from: &DmaMemory, bar: &Region, value: u8) -> bool {
    from.write(0, &[value; 64]);
    let edu = Edu::new(edu.device());
    edu.load(FROM, 64);
    edu.store(TO, 64);
    let mut bytes = [0; 64];
    bar.read_bytes(0, &mut bytes).unwrap();
    bytes == [value; 64]
}

#[test]
fn bar_is_unmapped_before_reset_and_mapped_after() {
    let taken = take_two(EDU, CMB_NVME);
    let container = on(&iommufd());
    let edu = attach(&container, EDU);
    let disk = attach(&container, CMB_NVME);
    enable(disk.device());
    let bar = disk.device().region(BUFFER).unwrap();
    let from = memory(1);
    map(&*container, from, FROM, Access::Read).unwrap();
    map_bar(&*container, &bar).unwrap();

    assert!(writes_arrive(&edu, from, &bar, 1));
    assert_eq!(container.unmap(TO, PAGE).unwrap(), PAGE);

    disk.device().reset().unwrap();
    enable(disk.device());
    map_bar(&*container, &bar).unwrap();
    assert!(writes_arrive(&edu, from, &bar, 2));

    // A mapping that stays through a reset is emptied, and its IOVA stays taken.
    disk.device().reset().unwrap();
    enable(disk.device());
    assert!(!writes_arrive(&edu, from, &bar, 3));

    let error = map_bar(&*container, &bar).unwrap_err();
    assert_eq!(
        error.io().and_then(Errno::from_io_error),
        Some(Errno::EXIST),
        "{error}"
    );

    drop(taken);
}

#[test]
fn incompatible_device_gets_container_on_same_iommufd() {
    let taken = take_two(EDU, NVME);
    let mut containers = Containers::new(Options {
        policy: only(Backend::Iommufd),
        ..Options::default()
    });
    let first = containers
        .attach(at(NVME), &AttachOptions::default())
        .unwrap();
    assert!(first.is_new);

    first.member.detach().unwrap();
    // No device can use these IOVAs, which are those of interrupts.
    let ioas = first.container.ioas().unwrap();
    ioas.allow_iovas(&[0xfee0_0000..=0xfee0_ffff]).unwrap();
    let second = containers
        .attach(at(EDU), &AttachOptions::default())
        .unwrap();
    assert!(second.is_new && !Arc::ptr_eq(&first.container, &second.container));
    assert!(Arc::ptr_eq(
        ioas.context(),
        second.container.ioas().unwrap().context()
    ));

    let third = containers
        .attach(at(NVME), &AttachOptions::default())
        .unwrap();
    assert!(!third.is_new && Arc::ptr_eq(&third.container, &second.container));
    assert_eq!(containers.choices().len(), 2);

    containers.remove(&first.container);
    assert_eq!(containers.choices().len(), 1);

    drop(taken);
}
