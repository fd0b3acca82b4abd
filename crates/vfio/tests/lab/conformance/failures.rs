//! Failures that the kernel injects into each operation: nothing is left behind, and the operation can be repeated.

use super::{Access, Attach, PAGE, container, map, memory, on_both_backends, take, with_edu};
use crate::taken::mtty_two;
use passthru_lab::devices::EDU;
use passthru_lab::{Held, each_failure};
use passthru_vfio::Failed;
use passthru_vfio::container::Backend;

const IOVA: u64 = 0x10_0000;

on_both_backends! {
    a_container_that_cannot_be_opened_leaves_nothing
    a_device_that_cannot_be_attached_comes_back
    a_mapping_that_cannot_be_made_leaves_nothing
    what_cannot_be_asked_for_can_be_asked_again
    tracking_that_cannot_begin_can_begin_again
}

fn a_container_that_cannot_be_opened_leaves_nothing(backend: Backend) {
    let host = passthru_lab::host();
    let options = super::Options { policy: super::only(backend), ..super::Options::default() };
    let failures = each_failure(host, |failure| {
        let before = Held::now().unwrap();
        let opened = failure.during(|| super::open(&options, &[]));
        drop(opened);
        assert_eq!(Held::now().unwrap(), before);
    });
    assert!(failures > 0);
}

/// With a mediated device: to open one of PCI asks ACPI, whose interpreter in the kernel does not survive such failures.
fn a_device_that_cannot_be_attached_comes_back(backend: Backend) {
    let [taken, _other] = mtty_two();
    let mut refused = 0;
    let failures = each_failure(passthru_lab::host(), |failure| {
        let before = Held::now().unwrap();
        let container = container(backend);
        match failure.during(|| container.attach(taken.source().into(), Attach::default())) {
            Ok(member) => drop(member.detach().unwrap()),
            Err(Failed { state, error }) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
                container.attach(state, Attach::default()).unwrap();
            }
        }
        drop(container);
        assert_eq!(Held::now().unwrap(), before, "{failure:?}");
    });
    assert!(failures > 0 && refused > 0, "{failures} {refused}");
}

/// A device that is bound already, on the backend that has such.
#[test]
fn a_bound_device_that_cannot_be_attached_stays_bound() {
    let taken = take(EDU);
    let container = container(Backend::Iommufd);
    let mut bound = Some(taken.bind(container.ioas().unwrap().context()).into());
    let mut refused = 0;
    let failures = each_failure(passthru_lab::host(), |failure| {
        let before = Held::now().unwrap();
        let candidate = bound.take().unwrap();
        let member = match failure.during(|| container.attach(candidate, Attach::default())) {
            Ok(member) => member,
            Err(Failed { state, .. }) => {
                refused += 1;
                container.attach(state, Attach::default()).unwrap()
            }
        };
        bound = Some(member.detach().unwrap());
        assert_eq!(Held::now().unwrap(), before, "{failure:?}");
    });
    assert!(failures > 0 && refused > 0, "{failures} {refused}");
}

fn a_mapping_that_cannot_be_made_leaves_nothing(backend: Backend) {
    let setup = with_edu(backend);
    let (host, memory) = (passthru_lab::host(), memory(4));
    memory.write(0, &[1; 4 * PAGE as usize]);
    let mut refused = 0;
    let failures = each_failure(host, |failure| {
        let before = Held::now().unwrap();
        if failure.during(|| map(&*setup.container, memory, IOVA, Access::ReadWrite)).is_err() {
            refused += 1;
            assert_eq!(Held::now().unwrap(), before, "{failure:?}");
            map(&*setup.container, memory, IOVA, Access::ReadWrite).unwrap();
        }
        assert_eq!(setup.container.unmap(IOVA, 4 * PAGE).unwrap(), 4 * PAGE);
        assert_eq!(Held::now().unwrap(), before, "{failure:?}");
    });
    assert!(failures > 0 && refused > 0, "{failures} {refused}");
}

fn what_cannot_be_asked_for_can_be_asked_again(backend: Backend) {
    let setup = with_edu(backend);
    let host = passthru_lab::host();
    let (ranges, sizes) = (setup.container.iova_ranges().unwrap(), setup.container.page_sizes().unwrap());
    each_failure(host, |failure| {
        if let Ok(answer) = failure.during(|| setup.container.iova_ranges()) {
            assert_eq!(answer, ranges);
        }
        assert_eq!(setup.container.iova_ranges().unwrap(), ranges);
    });
    each_failure(host, |failure| {
        let _ = failure.during(|| setup.container.page_sizes());
        assert_eq!(setup.container.page_sizes().unwrap(), sizes);
    });
}

fn tracking_that_cannot_begin_can_begin_again(backend: Backend) {
    let setup = with_edu(backend);
    map(&*setup.container, memory(4), IOVA, Access::ReadWrite).unwrap();
    let can = setup.container.set_dirty_tracking(true).is_ok();
    setup.container.set_dirty_tracking(false).unwrap();
    each_failure(passthru_lab::host(), |failure| {
        let answer = failure.during(|| setup.container.set_dirty_tracking(true));
        if answer.is_err() {
            assert!(setup.container.dirty_pages(IOVA, 4 * PAGE, PAGE, true, &mut [0]).is_err());
        }
        assert_eq!(setup.container.set_dirty_tracking(true).is_ok(), can, "{failure:?}");
        setup.container.set_dirty_tracking(false).unwrap();
    });
    each_failure(passthru_lab::host(), |failure| {
        setup.container.set_dirty_tracking(true).is_ok().then(|| {
            let mut bitmap = [0];
            if failure.during(|| setup.container.dirty_pages(IOVA, 4 * PAGE, PAGE, true, &mut bitmap)).is_ok()
            {
                assert_eq!(bitmap, [15]);
            }
        });
    });
    assert_eq!(setup.container.unmap_all().unwrap(), 4 * PAGE);
}
