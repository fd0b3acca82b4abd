//! Failures that the kernel injects into each operation of a device. The operation succeeds or
//! fails, leaves nothing behind, and can be repeated.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use passthru_iommufd::{DirtyRange, Ioas, Iommufd};
use passthru_lab::devices::{CMB_NVME, EDU, IGB, NVME};
use passthru_lab::{Failure, HeldResources, each_failure, each_failure_leaves_nothing};
use passthru_vfio::Failed;
use passthru_vfio::device::{Error, Event, Feature, Irq, MigrationState as State, Region};

use super::token::{TOKEN, VirtualFunctions};
use crate::edu::enable;
use crate::taken::{iommufd, mtty_two, take};

/// Runs an attempt with each failure, and checks that the attempt leaves nothing behind.
///
/// The attempt returns the error if its operation failed.
#[track_caller]
fn each(mut attempt: impl FnMut(&Failure) -> Option<Error>) {
    each_failure_leaves_nothing(|failure| {
        let error = attempt(failure);
        if let Some(error) = &error {
            assert!(
                error.io().is_some() || matches!(error, Error::FewIrqs { .. }),
                "{error}"
            );
        }
        error.is_some()
    });
}

/// Runs an operation with each failure, repeats it if it failed, and undoes it.
#[track_caller]
fn withstands<T>(operation: impl Fn() -> Result<T, Error>, undo: impl Fn(T)) {
    each(|failure| match failure.during(&operation) {
        Ok(done) => {
            undo(done);
            None
        }
        Err(error) => {
            undo(operation().unwrap());
            Some(error)
        }
    });
}

fn ioas(context: &Arc<Iommufd>) -> Arc<Ioas> {
    Arc::new(Ioas::alloc(context).unwrap())
}

/// Closes an I/O address space, which must have no other handle.
fn close(ioas: Arc<Ioas>) {
    Arc::into_inner(ioas).unwrap().close().unwrap();
}

/// Returns whether a device is attached to the I/O address space.
///
/// The kernel then refuses to limit it to IOVAs that the device cannot use.
fn in_use(ioas: &Ioas) -> bool {
    let refused = ioas.allow_iovas(&[0xfee0_0000..=0xfee0_ffff]).is_err();
    if !refused {
        ioas.allow_iovas(&[]).unwrap();
    }
    refused
}

/// Opens a mediated device. An open of a PCI device runs the kernel's ACPI interpreter, which does
/// not survive failed allocations.
#[test]
fn failed_open_or_bind_can_be_repeated() {
    let [taken, _other] = mtty_two();
    withstands(|| taken.source().open(), drop);
    let context = iommufd();
    each(|failure| {
        let open = taken.source().open().unwrap();
        match failure.during(|| open.bind(&context, None)) {
            Ok(_) => None,
            Err(Failed { state, error }) => {
                state.bind(&context, None).unwrap();
                Some(error)
            }
        }
    });
}

#[test]
fn failed_attach_can_be_repeated() {
    let taken = take(EDU);
    each(|failure| {
        let context = iommufd();
        let bound = taken.bind(&context);
        let ioas = ioas(&context);
        let error = match failure.during(|| bound.attach(Arc::clone(&ioas))) {
            Ok(_) => None,
            Err(Failed { state, error }) => {
                assert!(!in_use(&ioas), "{error}");
                state.attach(Arc::clone(&ioas)).unwrap();
                Some(error)
            }
        };
        close(ioas);
        error
    });
}

#[test]
fn failed_replace_keeps_former_target() {
    let taken = take(EDU);
    each(|failure| {
        let context = iommufd();
        let one = ioas(&context);
        let other = ioas(&context);
        let mut attached = taken.bind(&context).attach(Arc::clone(&one)).unwrap();
        let error = failure
            .during(|| attached.replace(Arc::clone(&other)))
            .err();
        // If the replace succeeded despite the failure, the kernel may not know the device's
        // reserved IOVAs, so `in_use` would not work.
        if let Some(error) = &error {
            assert!(in_use(&one) && !in_use(&other), "{error}");
            attached.replace(Arc::clone(&other)).unwrap();
            assert!(!in_use(&one) && in_use(&other), "{error}");
        }
        drop(attached);
        close(one);
        close(other);
        error
    });
}

#[test]
fn failed_detach_can_be_repeated() {
    let taken = take(EDU);
    each(|failure| {
        let (attached, ioas) = taken.attached();
        let error = match failure.during(|| attached.detach()) {
            Ok(_) => None,
            Err(Failed { state, error }) => {
                assert!(in_use(&ioas), "{error}");
                state.detach().unwrap();
                Some(error)
            }
        };
        close(ioas);
        error
    });
    // If a dropped attachment cannot be detached, its target stays while the device is open.
    each_failure(passthru_lab::host(), |failure| {
        let (attached, ioas) = taken.attached();
        let device = attached.device().clone();
        failure.during(|| drop(attached));
        assert_eq!(Arc::strong_count(&ioas) > 1, in_use(&ioas));
        drop(device);
        close(ioas);
    });
}

#[test]
fn failed_device_query_can_be_repeated() {
    let taken = take(NVME);
    let device = taken.device();
    withstands(|| device.info(), drop);
    withstands(|| device.region(Region::BAR0), drop);
    withstands(|| device.regions(), drop);
    withstands(|| device.irq(Irq::MSIX), drop);
    withstands(|| device.hot_reset_info(), drop);
    withstands(|| device.supports(Feature::DmaBuf), |has| assert!(has));
}

#[test]
fn failed_region_access_can_be_repeated() {
    let taken = take(EDU);
    let device = taken.device();
    enable(&device);
    let bar = device.region(Region::BAR0).unwrap();
    withstands(|| bar.read::<u32>(4), drop);
    withstands(
        || bar.write(4, 7u32),
        |()| assert_eq!(bar.read::<u32>(4).unwrap(), !7),
    );
    withstands(
        || bar.mmap(0..0x1000),
        |map| assert_eq!(map.read::<u32>(4).unwrap(), !7),
    );
}

/// Linux 7.2 logs a warning (`remove_proc_entry`) when it removes an interrupt whose folder in
/// /proc it failed to make.
#[test]
fn failed_interrupt_call_can_be_repeated() {
    let taken = take(EDU);
    let device = taken.device();
    enable(&device);
    let event = Event::new().unwrap();
    let resample = Event::new().unwrap();
    for irq in [Irq::INTX, Irq::MSI].map(|index| device.irq(index).unwrap()) {
        let triggers = [Some(event.as_fd())];
        withstands(
            || irq.set_triggers(0, &triggers),
            |()| irq.disable().unwrap(),
        );
        irq.set_triggers(0, &triggers).unwrap();
        withstands(|| irq.raise(0, 1), drop);
        withstands(|| irq.raise_some(0, &[true]), drop);
        assert!(event.take().unwrap() >= 2);
        irq.disable().unwrap();
        withstands(
            || {
                // The failure hits one of the two calls.
                let _ = irq.set_triggers(0, &triggers);
                irq.disable().or_else(|_| irq.disable())
            },
            drop,
        );
    }

    let intx = device.irq(Irq::INTX).unwrap();
    intx.set_triggers(0, &[Some(event.as_fd())]).unwrap();
    withstands(|| intx.mask(), drop);
    withstands(|| intx.unmask(), drop);
    withstands(
        || intx.set_resample(Some(resample.as_fd())),
        |()| intx.set_resample(None).unwrap(),
    );
}

#[test]
fn failed_call_for_many_vectors_can_be_repeated() {
    let taken = take(NVME);
    let device = taken.device();
    enable(&device);
    let msix = device.irq(Irq::MSIX).unwrap();
    let events = [(); 4].map(|()| Event::new().unwrap());
    let fds = [0, 1, 2, 3].map(|i| (i != 1).then(|| events[i].as_fd()));
    withstands(|| msix.set_triggers(0, &fds), |()| msix.disable().unwrap());
}

#[test]
fn failed_feature_can_be_repeated() {
    let taken = take(CMB_NVME);
    let device = taken.device();
    enable(&device);
    let event = Event::new().unwrap();
    let bar = device.region(Region::BAR0).unwrap();
    let buffer = device.region(Region::BAR0 + 2).unwrap();
    withstands(|| buffer.dma_buf(0..0x1000), drop);
    withstands(
        || bar.set_ioeventfd(0xc, 1u32, event.as_fd()),
        |()| bar.clear_ioeventfd(0xc, 1u32).unwrap(),
    );
    withstands(
        || device.enter_low_power(),
        |()| device.exit_low_power().unwrap(),
    );
    withstands(
        || device.enter_low_power_with_wakeup(event.as_fd()),
        |()| device.exit_low_power().unwrap(),
    );
    withstands(|| device.exit_low_power(), drop);
    bar.set_ioeventfd(0xc, 1u32, event.as_fd()).unwrap();
    each(|failure| failure.during(|| device.set_bus_master(true)).err());
    each(|failure| failure.during(|| device.zpci_error()).err());
    withstands(
        || bar.clear_ioeventfd(0xc, 1u32),
        |()| bar.set_ioeventfd(0xc, 1u32, event.as_fd()).unwrap(),
    );
}

#[test]
fn failed_eventfd_can_be_used_again() {
    let event = Event::new().unwrap();
    let steps: [&dyn Fn() -> io::Result<()>; 4] = [
        &|| Event::new().map(drop),
        &|| event.signal(),
        &|| event.take().map(drop),
        &|| event.wait(Duration::from_secs(1)).map(drop),
    ];
    for step in steps {
        let mut failed = 0;
        each_failure(passthru_lab::host(), |failure| {
            let before = HeldResources::read().unwrap();
            event.signal().unwrap();
            failed += u32::from(failure.during(step).is_err());
            event.signal().unwrap();
            assert!(event.take().unwrap() > 0);
            assert_eq!(HeldResources::read().unwrap(), before, "{failure:?}");
        });
        assert!(failed > 0);
    }
}

#[test]
fn failed_reset_can_be_repeated() {
    let taken = take(NVME);
    let device = taken.device();
    // Linux 7.2 needs no memory for a reset, so it may never fail.
    each_failure(passthru_lab::host(), |failure| {
        failure
            .during(|| device.reset())
            .or_else(|_| device.reset())
            .unwrap();
    });
    withstands(|| device.hot_reset(&[]), drop);
}

#[test]
fn failed_vf_token_can_be_set_again() {
    let taken = take(IGB);
    let device = taken.device();
    let functions = VirtualFunctions::new();
    withstands(|| device.set_vf_token(TOKEN), drop);
    drop((device, functions));
}

/// No device of the virtual host has PASIDs, so each attempt fails. The device can then be attached
/// without a PASID.
#[test]
fn refused_pasid_leaves_nothing() {
    let taken = take(EDU);
    each(|failure| {
        let context = iommufd();
        let bound = taken.bind(&context);
        let ioas = ioas(&context);
        let error = failure
            .during(|| bound.attach_pasid(1, Arc::clone(&ioas)))
            .unwrap_err();
        assert!(!in_use(&ioas), "{error}");
        drop(bound.attach(Arc::clone(&ioas)).unwrap());
        close(ioas);
        Some(error)
    });
}

#[test]
fn failed_migration_call_can_be_repeated() {
    let [mdev, _other] = mtty_two();
    let device = mdev.device();
    withstands(|| device.migration(), drop);
    withstands(|| device.migration_state(), drop);
    withstands(|| device.migration_data_size(), drop);
    withstands(|| device.enable_precopy_reinit(), drop);
    for state in [State::StopCopy, State::PreCopy, State::Resuming] {
        each(|failure| {
            let error = failure
                .during(|| device.set_migration_state(state).map(drop))
                .err();
            if error.is_some() {
                device.reset().unwrap();
                device.set_migration_state(state).unwrap().unwrap();
            }
            device.reset().unwrap();
            error
        });
    }

    let data = device.set_migration_state(State::PreCopy).unwrap().unwrap();
    withstands(|| data.precopy(), drop);
    drop(data);
    withstands(
        || device.start_dma_logging(0x1000, &[0..=0xffff]),
        |_| device.stop_dma_logging().unwrap(),
    );
    withstands(
        || device.read_dma_log(DirtyRange::new(0, 0x10000, 0x1000), &mut [0]),
        drop,
    );
    withstands(|| device.stop_dma_logging(), drop);
}

#[test]
fn failed_migration_data_access_loses_no_byte() {
    let [from, to] = mtty_two();
    let from = from.device();
    let to = to.device();
    let mut data = from.set_migration_state(State::StopCopy).unwrap().unwrap();
    let mut state = vec![0; from.migration_data_size().unwrap() as usize];
    let mut failed = 0;
    let mut bytes = state.iter_mut();
    each_failure(passthru_lab::host(), |failure| {
        let mut byte = [0];
        if failure.during(|| data.read(&mut byte)).is_err() {
            failed += 1;
            assert_eq!(data.read(&mut byte).unwrap(), 1);
        }
        *bytes.next().unwrap() = byte[0];
    });
    let rest = bytes.into_slice();
    data.read_exact(rest).unwrap();

    assert!(failed > 0 && !rest.is_empty());

    failed = 0;
    let mut data = to.set_migration_state(State::Resuming).unwrap().unwrap();
    let mut rest = state.as_slice();
    each_failure(passthru_lab::host(), |failure| {
        let (byte, after) = rest.split_at(1);
        if failure.during(|| data.write(byte)).is_err() {
            failed += 1;
            assert_eq!(data.write(byte).unwrap(), 1);
        }
        rest = after;
    });
    data.write_all(rest).unwrap();
    assert!(failed > 0 && to.set_migration_state(State::Running).unwrap().is_none());
}
