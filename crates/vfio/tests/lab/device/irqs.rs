//! Interrupts that devices and the kernel raise, and ioeventfds.

use std::os::fd::{AsFd, BorrowedFd};
use std::thread::sleep;
use std::time::Duration;

use passthru_lab::devices::{EDU, IGB, NVME};
use passthru_vfio::device::{Device, Error, Event, Irq, Region};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::edu::{ACKNOWLEDGE, LIVENESS, RAISE, decode, enable};
use crate::taken::take;

/// Time limit for an expected event.
const SOON: Duration = Duration::from_secs(10);
/// Time in which an event must not come.
const A_WHILE: Duration = Duration::from_millis(300);

fn events<const N: usize>() -> [Event; N] {
    std::array::from_fn(|_| Event::new().unwrap())
}

fn fds(events: &[Event]) -> Vec<Option<BorrowedFd<'_>>> {
    events.iter().map(|event| Some(event.as_fd())).collect()
}

/// Enables `edu`. Returns the BAR whose registers raise interrupts.
fn enable_edu(device: &Device) -> Region {
    enable(device);
    device.region(Region::BAR0).unwrap()
}

#[test]
fn intx_is_raised_masked_and_unmasked() {
    let taken = take(EDU);
    let device = taken.device();
    let bar = enable_edu(&device);
    let intx = device.irq(Irq::INTX).unwrap();

    assert!(
        intx.count() == 1 && intx.maskable() && intx.automasked() && intx.eventfd(),
        "{intx:?}"
    );

    let [event] = events();
    intx.set_triggers(0, &[Some(event.as_fd())]).unwrap();
    bar.write(RAISE, 1u32).unwrap();
    assert_eq!(event.wait(SOON).unwrap(), 1);
    // The kernel has masked the raised line. After the unmask, the kernel signals the event again.
    assert_eq!(event.wait(A_WHILE).unwrap(), 0);

    intx.unmask().unwrap();
    assert_eq!(event.wait(SOON).unwrap(), 1);

    bar.write(ACKNOWLEDGE, 1u32).unwrap();
    intx.unmask().unwrap();
    intx.mask().unwrap();
    bar.write(RAISE, 1u32).unwrap();
    assert_eq!(event.wait(A_WHILE).unwrap(), 0);

    bar.write(ACKNOWLEDGE, 1u32).unwrap();
    intx.disable().unwrap();
}

#[test]
fn intx_is_unmasked_by_resample_eventfd() {
    let taken = take(EDU);
    let device = taken.device();
    let bar = enable_edu(&device);
    let intx = device.irq(Irq::INTX).unwrap();
    let [event, resample] = events();
    intx.set_triggers(0, &[Some(event.as_fd())]).unwrap();
    intx.set_resample(Some(resample.as_fd())).unwrap();
    bar.write(RAISE, 1u32).unwrap();

    assert_eq!(event.wait(SOON).unwrap(), 1);

    resample.signal().unwrap();
    assert_eq!(event.wait(SOON).unwrap(), 1);

    intx.set_resample(None).unwrap();
    resample.signal().unwrap();
    assert_eq!(event.wait(A_WHILE).unwrap(), 0);

    bar.write(ACKNOWLEDGE, 1u32).unwrap();
}

#[test]
fn disabled_intx_cannot_be_masked() {
    let taken = take(EDU);
    let intx = taken.device().irq(Irq::INTX).unwrap();
    assert_hint(
        &intx.disable().unwrap_err(),
        Errno::INVAL,
        "enable interrupts of this kind first",
    );
    for error in [
        intx.mask().unwrap_err(),
        intx.unmask().unwrap_err(),
        intx.set_resample(None).unwrap_err(),
    ] {
        assert_eq!(errno(&error), Some(Errno::INVAL), "{error}");
    }
}

#[test]
fn msi_is_raised_by_device_and_kernel() {
    let taken = take(EDU);
    let device = taken.device();
    let bar = enable_edu(&device);
    let msi = device.irq(Irq::MSI).unwrap();
    let [event] = events();
    msi.set_triggers(0, &[Some(event.as_fd())]).unwrap();
    bar.write(RAISE, 1u32).unwrap();

    assert_eq!(event.wait(SOON).unwrap(), 1);

    bar.write(ACKNOWLEDGE, 1u32).unwrap();
    msi.raise(0, 1).unwrap();
    msi.raise_some(0, &[true]).unwrap();
    msi.raise_some(0, &[false]).unwrap();
    assert_eq!(event.take().unwrap(), 2);

    // Only one kind of interrupt can be enabled at a time.
    let intx = device.irq(Irq::INTX).unwrap();
    assert_hint(
        &intx.set_triggers(0, &[Some(event.as_fd())]).unwrap_err(),
        Errno::INVAL,
        "no other kind",
    );
    msi.disable().unwrap();
    intx.set_triggers(0, &[Some(event.as_fd())]).unwrap();
    assert_hint(&msi.raise(0, 1).unwrap_err(), Errno::INVAL, "no other kind");
    assert_hint(
        &msi.mask().unwrap_err(),
        Errno::NOTTY,
        "use another kind of interrupt",
    );
}

#[test]
fn sparse_vectors_have_own_eventfds() {
    let taken = take(NVME);
    let device = taken.device();
    decode(&device, true);
    let msix = device.irq(Irq::MSIX).unwrap();

    assert!(msix.count() > 8 && !msix.maskable(), "{msix:?}");

    let events: [Event; 4] = events();
    let fds = fds(&events);
    msix.set_triggers(0, &[fds[0], None, fds[2], None, fds[3]])
        .unwrap();
    msix.raise(0, 5).unwrap();
    assert_eq!(
        events.each_ref().map(|event| event.take().unwrap()),
        [1, 0, 1, 1]
    );

    // A change of a range leaves the other vectors alone.
    msix.set_triggers(1, &[fds[1], None]).unwrap();
    msix.raise_some(0, &[true, true, true, false, false])
        .unwrap();
    assert_eq!(
        events.each_ref().map(|event| event.take().unwrap()),
        [1, 1, 0, 0]
    );

    msix.disable().unwrap();
    assert_hint(
        &msix.raise(0, 1).unwrap_err(),
        Errno::INVAL,
        "interrupts that exist",
    );
    assert_eq!(events.each_ref().map(|event| event.take().unwrap()), [0; 4]);
}

#[test]
fn msix_vectors_can_be_added_later() {
    let taken = take(NVME);
    let device = taken.device();
    decode(&device, true);
    let msix = device.irq(Irq::MSIX).unwrap();
    let events: [Event; 2] = events();
    msix.set_triggers(0, &[Some(events[0].as_fd())]).unwrap();
    let added = msix.set_triggers(6, &[Some(events[1].as_fd())]);

    assert_eq!(added.is_ok(), msix.resizable(), "{added:?}");

    msix.raise(0, 7).unwrap();
    assert_eq!(events[0].take().unwrap(), 1);
    assert_eq!(events[1].take().unwrap(), u64::from(msix.resizable()));
}

#[test]
fn excess_vectors_are_refused() {
    let taken = take(IGB);
    let device = taken.device();
    decode(&device, true);
    let msix = device.irq(Irq::MSIX).unwrap();
    let [event] = events();
    let error = msix
        .set_triggers(msix.count(), &[Some(event.as_fd())])
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "interrupts that exist");

    assert!(
        error.to_string().contains(IGB) && error.to_string().contains("from 10 on"),
        "{error}"
    );

    // A file that is not an eventfd is refused, and no vector is left enabled.
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = msix
        .set_triggers(0, &[Some(event.as_fd()), Some(file.as_fd())])
        .unwrap_err();
    assert!(
        matches!(error, Error::Irq { count: 2, .. }) && error.io().is_some(),
        "{error}"
    );

    assert_hint(
        &msix.disable().unwrap_err(),
        Errno::INVAL,
        "enable interrupts of this kind first",
    );
    msix.set_triggers(0, &fds(&events::<10>())).unwrap();
}

#[test]
fn error_and_request_interrupts_have_eventfds() {
    let taken = take(NVME);
    let device = taken.device();
    for index in [Irq::ERR, Irq::REQ] {
        let irq = device.irq(index).unwrap();
        assert_eq!(irq.count(), 1);
        let [event] = events();
        irq.set_triggers(0, &[Some(event.as_fd())]).unwrap();
        irq.raise(0, 1).unwrap();
        assert_eq!(event.take().unwrap(), 1);
        irq.disable().unwrap();
        assert_hint(&irq.raise(0, 1).unwrap_err(), Errno::INVAL, "");
    }
}

#[test]
fn missing_interrupt_is_refused() {
    let taken = take(EDU);
    let device = taken.device();
    assert_eq!(device.irq(Irq::MSIX).unwrap().count(), 0);

    let error = device.irq(99).unwrap_err();
    assert!(matches!(error, Error::IrqInfo { index: 99, .. }), "{error}");
    assert_eq!(errno(&error), Some(Errno::INVAL));

    // Before Linux 7.3, only PCI Express devices have error interrupts. `edu` is not one.
    let irq = device.irq(Irq::ERR);
    if passthru_lab::host().kernel_is_since((7, 3)) {
        assert_eq!(irq.unwrap().count(), 1);
    } else {
        assert_eq!(errno(&irq.unwrap_err()), Some(Errno::INVAL));
    }
}

/// Waits until `value` is written to the liveness register, whose reads return the complement.
/// Returns whether that happened in time.
fn reaches_liveness(bar: &Region, value: u32) -> bool {
    for _ in 0..100 {
        if bar.read::<u32>(LIVENESS).unwrap() == !value {
            return true;
        }
        sleep(Duration::from_millis(20));
    }

    false
}

#[test]
fn ioeventfd_writes_until_cleared() {
    let taken = take(EDU);
    let device = taken.device();
    let bar = enable_edu(&device);
    let [event, other] = events();
    bar.write(LIVENESS, 1u32).unwrap();
    bar.set_ioeventfd(LIVENESS, 0x77u32, event.as_fd()).unwrap();
    event.signal().unwrap();

    assert!(reaches_liveness(&bar, 0x77));

    let error = bar
        .set_ioeventfd(LIVENESS, 0x77u32, other.as_fd())
        .unwrap_err();
    assert_hint(&error, Errno::EXIST, "another eventfd");
    bar.clear_ioeventfd(LIVENESS, 0x77u32).unwrap();
    assert_eq!(
        errno(&bar.clear_ioeventfd(LIVENESS, 0x77u32).unwrap_err()),
        Some(Errno::NODEV)
    );

    bar.write(LIVENESS, 1u32).unwrap();
    event.signal().unwrap();
    sleep(A_WHILE);
    assert!(reaches_liveness(&bar, 1));

    let config = device.region(Region::CONFIG).unwrap();
    assert!(config.set_ioeventfd(4, 1u16, event.as_fd()).is_err());
    assert!(matches!(
        bar.set_ioeventfd(bar.size(), 1u8, event.as_fd()),
        Err(Error::Range { .. })
    ));
}
