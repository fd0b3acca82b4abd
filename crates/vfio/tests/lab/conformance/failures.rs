//! Failures that the kernel injects into each operation. The operation leaves nothing behind, and
//! can be repeated.

use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use passthru_iommufd::Ioas;
use passthru_lab::devices::{EDU, NVME};
use passthru_lab::{Failure, HeldResources, each_failure, each_failure_leaves_nothing as each};
use passthru_vfio::Failed;
use passthru_vfio::container::{
    Backend, Candidate, Container, Containers, DirtyRange, Error, Options,
};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;

use super::{
    Access, AttachOptions, PAGE, assert_unsupported, at, container, errno, map, memory,
    on_both_backends, only, reaches, take, take_two, with_edu,
};
use crate::taken::{iommufd, mtty_two};

const IOVA: u64 = 0x10_0000;
/// The length of what is mapped: four pages.
const LENGTH: u64 = 4 * PAGE;

on_both_backends! {
    failed_container_open_leaves_nothing
    failed_container_attach_returns_device
    failed_placement_returns_device
    detached_device_leaves_nothing
    failed_map_leaves_nothing
    failed_map_file_leaves_nothing
    failed_unmap_can_be_repeated
    failed_iova_query_can_be_repeated
    failure_loses_no_dirty_page
}

fn failed_container_open_leaves_nothing(backend: Backend) {
    let _host = passthru_lab::host();
    let options = Options {
        policy: only(backend),
        ..Options::default()
    };
    each(|failure| failure.during(|| super::open(&options, &[])).is_err());
}

/// Attaches a mediated device. An open of a PCI device runs ACPI code, whose interpreter in the
/// kernel does not survive such failures.
fn failed_container_attach_returns_device(backend: Backend) {
    let [taken, _other] = mtty_two();
    each(|failure| {
        let container = container(backend);
        match failure.during(|| container.attach(taken.source().into(), AttachOptions::default())) {
            Ok(member) => {
                member.detach().unwrap();
                false
            }
            Err(Failed { state, error }) => {
                assert!(!error.to_string().is_empty());
                container.attach(state, AttachOptions::default()).unwrap();
                true
            }
        }
    });
}

/// Attaches a bound device, which only `iommufd` accepts.
#[test]
fn failed_attach_of_bound_device_leaves_it_bound() {
    let taken = take(EDU);
    let container = container(Backend::Iommufd);
    let mut bound = Some(taken.bind(container.ioas().unwrap().context()).into());
    each(|failure| {
        let candidate = bound.take().unwrap();
        let (member, failed) =
            match failure.during(|| container.attach(candidate, AttachOptions::default())) {
                Ok(member) => (member, false),
                Err(Failed { state, .. }) => (
                    container.attach(state, AttachOptions::default()).unwrap(),
                    true,
                ),
            };
        bound = Some(member.detach().unwrap());
        failed
    });
}

/// Places a device with a failure, and again without one if that failed. Returns the device, and
/// whether the first attempt failed.
fn place(containers: &mut Containers, device: Candidate, failure: &Failure) -> (Candidate, bool) {
    let before = containers.choices().len();
    let (placed, failed) =
        match failure.during(|| containers.attach(device, &AttachOptions::default())) {
            Ok(placed) => (placed, false),
            Err(Failed { state, .. }) => {
                assert_eq!(containers.choices().len(), before);
                (
                    containers.attach(state, &AttachOptions::default()).unwrap(),
                    true,
                )
            }
        };
    let device = placed.member.detach().unwrap();
    if placed.is_new {
        containers.remove(&placed.container);
    }
    assert_eq!(containers.choices().len(), before);
    (device, failed)
}

fn failed_placement_returns_device(backend: Backend) {
    let taken = mtty_two();
    let options = Options {
        policy: only(backend),
        ..Options::default()
    };
    // First an only device, then a device beside another one.
    each(|failure| {
        place(
            &mut Containers::new(options.clone()),
            taken[0].source().into(),
            failure,
        )
        .1
    });
    let mut containers = Containers::new(options);
    let first = containers
        .attach(taken[0].source().into(), &AttachOptions::default())
        .unwrap();
    each(|failure| place(&mut containers, taken[1].source().into(), failure).1);
    drop(first);
}

/// Places a second device that does not fit into the first one's container.
#[test]
fn failed_placement_in_own_container_returns_device() {
    let taken = take_two(NVME, EDU);
    let context = iommufd();
    let options = Options {
        policy: only(Backend::Iommufd),
        iommufd: Some(Arc::clone(&context)),
        ..Options::default()
    };
    let mut containers = Containers::new(options);
    let first = containers
        .attach(at(NVME), &AttachOptions::default())
        .unwrap();
    first.member.detach().unwrap();
    first
        .container
        .ioas()
        .unwrap()
        .allow_iovas(&[0xfee0_0000..=0xfee0_ffff])
        .unwrap();
    let mut bound = Some(taken[1].bind(&context).into());
    each(|failure| {
        let (device, failed) = place(&mut containers, bound.take().unwrap(), failure);
        bound = Some(device);
        failed
    });
}

/// Only `iommufd` can refuse a detach: `type1` closes files.
fn detached_device_leaves_nothing(backend: Backend) {
    let [taken, _other] = mtty_two();
    let mut failed = 0;
    each_failure(passthru_lab::host(), |failure| {
        let before = HeldResources::read().unwrap();
        let container = container(backend);
        let member = container
            .attach(taken.source().into(), AttachOptions::default())
            .unwrap();
        if let Err(Failed { state, .. }) = failure.during(|| member.detach()) {
            failed += 1;
            state.detach().unwrap();
        }
        drop(container);
        assert_eq!(HeldResources::read().unwrap(), before, "{failure:?}");
    });
    assert_eq!(failed > 0, backend == Backend::Iommufd);
}

/// If VT-d's driver itself fails, it has blocked the device. A detach and an attach then restore
/// the device.
#[test]
fn failed_replace_keeps_device_mappings() {
    let setup = with_edu(Backend::Iommufd);
    let container = &setup.container;
    let mut edu = setup.member;
    let from = (memory(1), IOVA);
    let to = (memory(1), IOVA + PAGE);
    map(&**container, from.0, from.1, Access::Read).unwrap();
    map(&**container, to.0, to.1, Access::ReadWrite).unwrap();
    let elsewhere = Arc::new(Ioas::alloc(container.ioas().unwrap().context()).unwrap());
    let mut member = Some(edu);
    each(|failure| {
        let mut edu = member.take().unwrap();
        let answer = failure.during(|| edu.replace(Some(Arc::clone(&elsewhere).into())));
        if let Err(error) = &answer {
            if !reaches(&edu, from, to) {
                assert_eq!(errno(error), Some(Errno::NOMEM), "{error}");
                edu = container
                    .attach(edu.detach().unwrap(), AttachOptions::default())
                    .unwrap();
            }
            assert!(reaches(&edu, from, to), "{error}");
            edu.replace(Some(Arc::clone(&elsewhere).into())).unwrap();
        }
        edu.replace(None).unwrap();
        member = Some(edu);
        answer.is_err()
    });
    edu = member.unwrap();
    each(|failure| {
        edu.replace(Some(Arc::clone(&elsewhere).into())).unwrap();
        let failed = failure.during(|| edu.replace(None)).is_err();
        if failed {
            edu.replace(None).unwrap();
        }
        assert!(reaches(&edu, from, to));
        failed
    });
}

fn failed_map_leaves_nothing(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &*setup.container;
    let memory = memory(4);
    memory.write(0, &[1; LENGTH as usize]);
    each(|failure| {
        let before = HeldResources::read().unwrap();
        let failed = failure
            .during(|| map(dma, memory, IOVA, Access::ReadWrite))
            .is_err();
        if failed {
            assert_eq!(HeldResources::read().unwrap(), before, "{failure:?}");
            map(dma, memory, IOVA, Access::ReadWrite).unwrap();
        }
        assert_eq!(dma.unmap(IOVA, LENGTH).unwrap(), LENGTH);
        failed
    });
}

fn map_whole_file(dma: &dyn Container, file: BorrowedFd<'_>) -> Result<(), Error> {
    dma.map_file(file, 0, LENGTH, IOVA, Access::ReadWrite)
}

fn failed_map_file_leaves_nothing(backend: Backend) {
    let setup = with_edu(backend);
    let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, LENGTH).unwrap();
    let dma = &*setup.container;
    if !dma.capabilities().map_file {
        return assert_unsupported(map_whole_file(dma, file.as_fd()));
    }
    each(|failure| {
        let failed = failure
            .during(|| map_whole_file(dma, file.as_fd()))
            .is_err();
        if failed {
            map_whole_file(dma, file.as_fd()).unwrap();
        }
        assert_eq!(dma.unmap(IOVA, LENGTH).unwrap(), LENGTH);
        failed
    });
}

/// Unmaps a mapping with each failure. A failed call may still have taken effect.
#[track_caller]
fn assert_unmaps(dma: &dyn Container, unmap: impl Fn() -> Result<u64, Error>) {
    let memory = memory(4);
    each(|failure| {
        map(dma, memory, IOVA, Access::ReadWrite).unwrap();
        let answer = failure.during(&unmap);
        match &answer {
            Ok(length) => assert_eq!(*length, LENGTH),
            Err(_) => match unmap() {
                Ok(length) => assert!([0, LENGTH].contains(&length)),
                Err(error) => assert_eq!(errno(&error), Some(Errno::NOENT), "{error}"),
            },
        }
        assert_eq!(dma.unmap_all().unwrap(), 0);
        answer.is_err()
    });
}

fn failed_unmap_can_be_repeated(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &*setup.container;
    assert_unmaps(dma, || dma.unmap(IOVA, LENGTH));
    assert_unmaps(dma, || dma.unmap_all());
}

fn failed_iova_query_can_be_repeated(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &*setup.container;
    let ranges = dma.iova_ranges().unwrap();
    let sizes = dma.page_sizes().unwrap();
    each(|failure| query_fails(failure, || dma.iova_ranges(), &ranges));
    each(|failure| query_fails(failure, || dma.page_sizes(), &sizes));
}

/// Makes a query with a failure, and again without one. Returns whether the first attempt failed.
///
/// Each query that succeeds must return the expected value.
fn query_fails<T: Debug + PartialEq>(
    failure: &Failure,
    query: impl Fn() -> Result<T, Error>,
    expected: &T,
) -> bool {
    let result = failure.during(&query);
    let failed = result.is_err();
    let value = result.or_else(|_| query()).unwrap();
    assert_eq!(value, *expected, "{failure:?}");
    assert_eq!(query().unwrap(), *expected, "{failure:?}");
    failed
}

/// Reads and clears the dirty pages of the mapping.
fn dirty_bits(dma: &dyn Container) -> Result<[u64; 1], Error> {
    let mut bitmap = [0];
    dma.dirty_pages(DirtyRange::new(IOVA, LENGTH, PAGE), true, &mut bitmap)?;
    Ok(bitmap)
}

/// On `iommufd` page tables track dirty pages: see `container/mock.rs`.
#[test]
fn failed_type1_tracking_can_be_repeated() {
    let setup = with_edu(Backend::Type1);
    let dma = &*setup.container;
    map(dma, memory(4), IOVA, Access::ReadWrite).unwrap();
    for on in [true, false] {
        each(|failure| {
            dma.set_dirty_tracking(!on).unwrap();
            let failed = failure.during(|| dma.set_dirty_tracking(on)).is_err();
            assert_eq!(dirty_bits(dma).is_ok(), on != failed);
            dma.set_dirty_tracking(on).unwrap();
            assert_eq!(dirty_bits(dma).ok(), on.then_some([15]));
            dma.set_dirty_tracking(false).unwrap();
            failed
        });
    }
}

/// On `iommufd` the IOMMU of the virtual host reports no dirty pages: see `container/mock.rs`.
fn failure_loses_no_dirty_page(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &*setup.container;
    let memory = memory(4);
    if dma.set_dirty_tracking(true).is_err() {
        return assert_eq!(backend, Backend::Iommufd);
    }
    map(dma, memory, IOVA, Access::ReadWrite).unwrap();
    each(|failure| {
        let mut bitmap = [0];
        let failed = failure
            .during(|| dma.dirty_pages(DirtyRange::new(IOVA, LENGTH, PAGE), true, &mut bitmap))
            .is_err();
        if failed {
            dma.dirty_pages(DirtyRange::new(IOVA, LENGTH, PAGE), true, &mut bitmap)
                .unwrap();
        }
        assert_eq!(bitmap, [15]);
        failed
    });
    dma.unmap_all().unwrap();
    each(|failure| {
        map(dma, memory, IOVA, Access::ReadWrite).unwrap();
        let mut bitmap = [0];
        let failed = failure
            .during(|| dma.unmap_dirty(DirtyRange::new(IOVA, LENGTH, PAGE), &mut bitmap))
            .is_err();
        if failed {
            // The failed call may have unmapped the range.
            let _ = dma.unmap_dirty(DirtyRange::new(IOVA, LENGTH, PAGE), &mut bitmap);
        }
        assert_eq!((dma.unmap_all().unwrap(), bitmap), (0, [15]));
        failed
    });
}
