//! Page faults of devices, and their answers.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;

use passthru_iommufd::{
    BoundDevice, Error, FaultAccess, FaultQueue, Hwpt, HwptOptions, Ioas, Iommufd, PageResponse,
    PageResponseCode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mock::{self, Device};
use crate::{assert_hint, errno, ioas};

/// Attaches a device to a page table whose faults go to a queue.
fn faulting(ioas: &Arc<Ioas>) -> (Device, Arc<FaultQueue>, Hwpt) {
    let device = Device::attach(ioas).unwrap();
    let queue = Arc::new(FaultQueue::alloc(ioas.context()).unwrap());
    let options = HwptOptions {
        fault_queue: Some(Arc::clone(&queue)),
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    (device, queue, hwpt)
}

fn readable(queue: &FaultQueue) -> bool {
    let mut polled = [PollFd::new(queue, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).unwrap() == 1
}

fn answer(cookie: u32, code: PageResponseCode) -> PageResponse {
    PageResponse { cookie, code }
}

#[test]
fn fault_arrives_and_is_answered_once() {
    let (device, queue, _hwpt) = faulting(&ioas());
    assert!(!readable(&queue));
    assert_eq!(queue.read().unwrap(), []);

    device.fault(None, 5, FaultAccess::READ | FaultAccess::WRITE, 0x1234_5000);
    assert!(readable(&queue));

    let [fault] = queue.read().unwrap()[..] else {
        panic!("not one fault")
    };
    assert_eq!(fault.device, device.id());
    assert_eq!(fault.pasid, None);
    assert_eq!(fault.group, 5);
    assert!(fault.last);
    assert_eq!(fault.access, FaultAccess::READ | FaultAccess::WRITE);
    assert_eq!(fault.address, 0x1234_5000);
    assert!(!readable(&queue));

    let response = answer(fault.cookie, PageResponseCode::Success);
    queue.respond(&[response]).unwrap();
    assert_hint(
        &queue.respond(&[response]).unwrap_err(),
        Errno::INVAL,
        "only once",
    );
}

#[test]
fn many_faults_are_answered_together() {
    let (device, queue, _hwpt) = faulting(&ioas());
    for group in 0..100 {
        device.fault(None, group, FaultAccess::READ, 0x1000);
    }
    let mut faults = queue.read().unwrap();
    faults.extend(queue.read().unwrap());
    let groups: Vec<_> = faults.iter().map(|fault| fault.group).collect();

    assert_eq!(groups, Vec::from_iter(0..100));

    let responses: Vec<_> = faults
        .iter()
        .map(|f| answer(f.cookie, PageResponseCode::Invalid))
        .collect();
    queue.respond(&responses).unwrap();
    assert_eq!(queue.read().unwrap(), []);
}

#[test]
fn failed_answer_reports_the_number_taken_before() {
    let (device, queue, _hwpt) = faulting(&ioas());
    for group in 0..2 {
        device.fault(None, group, FaultAccess::READ, 0x1000);
    }
    let faults = queue.read().unwrap();
    let first = answer(faults[0].cookie, PageResponseCode::Success);
    let unknown = answer(999, PageResponseCode::Success);
    let last = answer(faults[1].cookie, PageResponseCode::Success);
    let error = queue.respond(&[first, unknown, last]).unwrap_err();

    assert!(
        matches!(
            error,
            Error::Respond {
                responses: 3,
                handled: 1,
                ..
            }
        ),
        "{error:?}"
    );

    queue.respond(&[last]).unwrap();
}

#[test]
fn fault_of_a_pasid_names_the_pasid() {
    let ioas = ioas();
    let device = Device::with(&ioas, mock::PASID).unwrap();
    let queue = Arc::new(FaultQueue::alloc(ioas.context()).unwrap());
    let options = HwptOptions {
        fault_queue: Some(Arc::clone(&queue)),
        pasid: true,
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, &ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    device.attach_pasid(9, hwpt.id()).unwrap();
    device.fault(Some(9), 1, FaultAccess::EXEC, 0x2000);
    let faults = queue.read().unwrap();

    assert_eq!(faults[0].pasid, Some(9));
    assert_eq!(faults[0].access, FaultAccess::EXEC);

    device.detach_pasid(9);
}

#[test]
fn kernel_answers_faults_of_a_detached_device() {
    let ioas = ioas();
    let (device, queue, hwpt) = faulting(&ioas);
    device.fault(None, 1, FaultAccess::READ, 0x1000);
    let cookie = queue.read().unwrap()[0].cookie;
    drop(device);
    let error = queue
        .respond(&[answer(cookie, PageResponseCode::Success)])
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "before its device is detached");
    hwpt.close().unwrap();
    Arc::into_inner(queue).unwrap().close().unwrap();
}

#[test]
fn page_table_keeps_its_fault_queue() {
    let ioas = ioas();
    let (device, queue, hwpt) = faulting(&ioas);
    let id = queue.id();
    drop((device, queue));

    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));

    drop(hwpt);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn nest_parent_with_fault_queue_is_refused() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let fault_queue = Some(Arc::new(FaultQueue::alloc(ioas.context()).unwrap()));
    let options = HwptOptions {
        nest_parent: true,
        fault_queue,
        ..HwptOptions::default()
    };
    let error = Hwpt::alloc(&device, &ioas, &options).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "leave options out");

    assert!(
        error.to_string().contains("nest parent, fault queue"),
        "{error}"
    );
}

#[test]
fn fault_queue_with_an_open_duplicate_is_not_destroyed() {
    let ioas = ioas();
    let queue = FaultQueue::alloc(ioas.context()).unwrap();
    let id = queue.id();
    let duplicate = queue.as_fd().try_clone_to_owned().unwrap();
    assert_hint(
        &queue.close().unwrap_err(),
        Errno::BUSY,
        "still use the object",
    );
    drop(duplicate);
    mock::destroy(ioas.context(), id).unwrap();
}

#[test]
fn fault_queue_of_another_context_is_refused() {
    let ioas = ioas();
    let other = Arc::new(Iommufd::open().unwrap());
    let device = Device::attach(&ioas).unwrap();
    let fault_queue = Some(Arc::new(FaultQueue::alloc(&other).unwrap()));
    let options = HwptOptions {
        fault_queue,
        ..HwptOptions::default()
    };
    let error = Hwpt::alloc(&device, &ioas, &options).unwrap_err();

    assert!(matches!(error, Error::OtherContext { .. }), "{error:?}");
}

#[test]
fn fault_queue_without_free_descriptor_is_refused() {
    let ioas = ioas();
    let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let former = getrlimit(Resource::Nofile);
    let none_free = Rlimit {
        current: Some(open - 1),
        ..former
    };
    setrlimit(Resource::Nofile, none_free).unwrap();
    let result = FaultQueue::alloc(ioas.context());
    setrlimit(Resource::Nofile, former).unwrap();
    assert_hint(&result.unwrap_err(), Errno::MFILE, "RLIMIT_NOFILE");
    let queue = FaultQueue::alloc(ioas.context()).unwrap();

    assert_eq!(queue.close().map_err(|e| errno(&e)), Ok(()));
}
