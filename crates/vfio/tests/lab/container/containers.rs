//! Dirty pages of several containers.
//!
//! The IOMMU of the virtual host reports none. On iommufd, page tables of the kernel's mock device
//! report them. On type1, every mapped page counts as dirty.

use std::sync::Arc;

use passthru_iommufd::{Hwpt, Ioas};
use passthru_lab::devices::{EDU, NVME};
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Candidate, Container, Containers, DirtyRange, Error, Options,
    Placement,
};

use super::mock::{IOVA, Mock, dirty, write_to};
use crate::conformance::{PAGE, assert_unsupported, at, map, memory, only};
use crate::taken::{iommufd, take, take_two};

fn containers(backend: Backend) -> Containers {
    let _host = passthru_lab::host();
    let iommufd = (backend == Backend::Iommufd).then(iommufd);
    Containers::new(Options {
        policy: only(backend),
        iommufd,
        ..Options::default()
    })
}

fn attach(containers: &mut Containers, device: impl Into<Candidate>) -> Placement {
    containers
        .attach(device.into(), &AttachOptions::default())
        .unwrap()
}

/// Makes a container for a device, maps 64 pages, and detaches the device again.
fn with_pages(containers: &mut Containers, device: &str) -> (Arc<dyn Container>, Candidate) {
    let placed = attach(containers, at(device));
    assert!(placed.is_new);
    let candidate = placed.member.detach().unwrap();
    placed
        .container
        .ioas()
        .unwrap()
        .set_huge_pages(false)
        .unwrap();
    map(&*placed.container, memory(64), IOVA, Access::ReadWrite).unwrap();
    (placed.container, candidate)
}

/// Allocates a page table of the mock device over a container.
fn table(container: &Arc<dyn Container>) -> Arc<Hwpt> {
    let ioas = container.ioas().unwrap();
    Mock::new(ioas).table(ioas)
}

#[test]
fn tracking_container_refuses_device_without_dirty_pages() {
    let taken = take(EDU);
    let mut containers = containers(Backend::Iommufd);
    let (tracking, edu) = with_pages(&mut containers, EDU);
    let table = table(&tracking);
    let included = tracking.include(&table).unwrap();
    tracking.set_dirty_tracking(true).unwrap();
    let beside = attach(&mut containers, edu);

    assert!(beside.is_new && !Arc::ptr_eq(&beside.container, &tracking));

    // The tracking container goes on. The other one cannot start, and names the device.
    write_to(&table, 0b101);
    assert_eq!(dirty(&*tracking, true), 0b101);

    let error = beside.container.set_dirty_tracking(true).unwrap_err();
    assert!(
        matches!(&error, Error::NoDirtyTracking { devices } if devices == &[EDU]),
        "{error}"
    );

    // After a stop, the first container accepts the device again.
    tracking.set_dirty_tracking(false).unwrap();
    let edu = beside.member.detach().unwrap();
    containers.remove(&beside.container);
    let back = attach(&mut containers, edu);
    assert!(!back.is_new && Arc::ptr_eq(&back.container, &tracking));

    let error = tracking.set_dirty_tracking(true).unwrap_err();
    assert!(
        matches!(&error, Error::NoDirtyTracking { devices } if devices == &[EDU]),
        "{error}"
    );
    assert!(matches!(
        tracking.dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut [0]),
        Err(Error::NotTracking)
    ));

    drop((included, back, taken));
}

#[test]
fn containers_report_only_their_own_dirty_pages() {
    let taken = take_two(EDU, NVME);
    let mut containers = containers(Backend::Iommufd);
    let (first, _edu) = with_pages(&mut containers, EDU);
    let one = table(&first);
    let one_included = first.include(&one).unwrap();
    first.set_dirty_tracking(true).unwrap();
    // The second device reports none, so it does not join the first container.
    let (second, _nvme) = with_pages(&mut containers, NVME);
    let other = table(&second);

    assert!(matches!(second.include(&one), Err(Error::OtherTable)));

    let other_included = second.include(&other).unwrap();
    second.set_dirty_tracking(true).unwrap();
    write_to(&one, 1);
    write_to(&other, 2);
    assert_eq!(dirty(&*first, true), 1);
    assert_eq!(dirty(&*second, true), 2);

    first.set_dirty_tracking(false).unwrap();
    write_to(&other, 4);
    assert_eq!(dirty(&*second, true), 4);

    drop((one_included, other_included, taken));
}

#[test]
fn group_may_join_or_leave_during_dirty_tracking() {
    let taken = take_two(EDU, NVME);
    let mut containers = containers(Backend::Type1);
    let edu = attach(&mut containers, at(EDU));
    map(&*edu.container, memory(3), IOVA, Access::ReadWrite).unwrap();
    edu.container.set_dirty_tracking(true).unwrap();
    let nvme = attach(&mut containers, at(NVME));

    assert!(!nvme.is_new);
    assert_eq!(dirty(&*edu.container, true), 7);

    nvme.member.detach().unwrap();
    assert_eq!(dirty(&*edu.container, true), 7);

    edu.container.set_dirty_tracking(false).unwrap();
    let ioas = Arc::new(Ioas::alloc(&iommufd()).unwrap());
    assert_unsupported(edu.container.include(&Mock::new(&ioas).table(&ioas)));
    drop((edu, taken));
}
