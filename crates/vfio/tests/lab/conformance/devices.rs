//! Attach and detach of devices, and the state of a device after a failure.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use passthru_lab::devices::{EDU, NVME, SHARED_COMPANION, SHARED_FREE};
use passthru_vfio::Failed;
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Candidate, Container, Error, KvmVfio, Options,
};
use passthru_vfio::device::Source;
use rustix::io::Errno;

use super::{
    PAGE, at, attach, choose, container, errno, map, memory, on_both_backends, only, reaches, take,
    take_two, with_edu,
};

const IOVA: u64 = 0x10_0000;

on_both_backends! {
    devices_in_one_container_reach_same_memory
    late_device_reaches_existing_mappings
    detached_device_can_be_attached_again
    devices_of_one_group_share_container
    device_outlives_container_handle
    missing_device_is_named_and_returned
    busy_device_is_refused_with_hint
    unneeded_token_is_refused
    kvm_registration_lasts_while_attached
    device_refused_by_kvm_is_not_attached
}

fn devices_in_one_container_reach_same_memory(backend: Backend) {
    let taken = take_two(EDU, NVME);
    let container = container(backend);
    let edu = attach(&container, EDU);
    let nvme = attach(&container, NVME);
    let from = memory(1);
    let to = memory(1);
    map(&*container, from, IOVA, Access::Read).unwrap();
    map(&*container, to, IOVA + PAGE, Access::ReadWrite).unwrap();
    assert!(reaches(&edu, (from, IOVA), (to, IOVA + PAGE)));
    // The mappings stay for the remaining device.
    nvme.detach().unwrap();
    assert!(reaches(&edu, (from, IOVA), (to, IOVA + PAGE)));
    drop((edu, taken));
}

fn late_device_reaches_existing_mappings(backend: Backend) {
    let taken = take_two(EDU, NVME);
    let container = container(backend);
    let nvme = attach(&container, NVME);
    let from = memory(1);
    let to = memory(1);
    map(&*container, from, IOVA, Access::Read).unwrap();
    map(&*container, to, IOVA + PAGE, Access::ReadWrite).unwrap();
    let edu = attach(&container, EDU);
    assert!(reaches(&edu, (from, IOVA), (to, IOVA + PAGE)));
    drop((nvme, edu, taken));
}

fn detached_device_can_be_attached_again(backend: Backend) {
    let setup = with_edu(backend);
    let container = &setup.container;
    let from = memory(1);
    let to = memory(1);
    map(&**container, from, IOVA, Access::Read).unwrap();
    map(&**container, to, IOVA + PAGE, Access::ReadWrite).unwrap();
    let candidate = setup.member.detach().unwrap();
    let member = container
        .attach(candidate, AttachOptions::default())
        .unwrap();
    if !container.capabilities().without_devices {
        assert_eq!(container.unmap_all().unwrap(), 0);
        map(&**container, from, IOVA, Access::Read).unwrap();
        map(&**container, to, IOVA + PAGE, Access::ReadWrite).unwrap();
    }

    assert!(reaches(&member, (from, IOVA), (to, IOVA + PAGE)));
}

fn devices_of_one_group_share_container(backend: Backend) {
    let taken = take_two(SHARED_FREE, SHARED_COMPANION);
    let container = container(backend);
    let one = attach(&container, SHARED_FREE);
    let other = attach(&container, SHARED_COMPANION);
    let from = memory(1);
    let to = memory(1);
    map(&*container, from, IOVA, Access::Read).unwrap();
    map(&*container, to, IOVA + PAGE, Access::ReadWrite).unwrap();
    assert!(reaches(&one, (from, IOVA), (to, IOVA + PAGE)));
    other.detach().unwrap();
    assert!(reaches(&one, (from, IOVA), (to, IOVA + PAGE)));
    let again = attach(&container, SHARED_COMPANION);
    drop((one, again, taken));
}

fn device_outlives_container_handle(backend: Backend) {
    let taken = take(EDU);
    let container = container(backend);
    let member = attach(&container, EDU);
    drop(container);
    member.device().info().unwrap();
    let device = member.device().clone();
    drop(member);
    device.info().unwrap();
    drop((device, taken));
}

fn missing_device_is_named_and_returned(backend: Backend) {
    let container = container(backend);
    let Failed { state, error } = container
        .attach(at("0000:00:1a.7"), AttachOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("0000:00:1a.7"), "{error}");
    assert_eq!(state.to_string(), "0000:00:1a.7");
}

fn busy_device_is_refused_with_hint(backend: Backend) {
    let setup = with_edu(backend);
    let other = container(backend);
    let Failed { state, error } = other.attach(at(EDU), AttachOptions::default()).unwrap_err();
    assert!(
        error.io().is_some() && error.hint().is_some(),
        "{error}: {:?}",
        error.hint()
    );
    drop(setup.member);
    other.attach(state, AttachOptions::default()).unwrap();
}

fn unneeded_token_is_refused(backend: Backend) {
    let taken = take(EDU);
    let container = container(backend);
    let options = AttachOptions {
        token: Some([7; 16]),
        ..AttachOptions::default()
    };
    let Failed { state, error } = container.attach(at(EDU), options).unwrap_err();
    assert_eq!(errno(&error), Some(Errno::INVAL), "{error}");
    assert!(error.to_string().contains("token"), "{error}");
    // The same candidate can be attached without a token.
    let member = container.attach(state, AttachOptions::default()).unwrap();
    drop((member, taken));
}

/// A KVM that counts registrations.
#[derive(Debug, Default)]
struct Recorder {
    added: Mutex<usize>,
    removed: Mutex<usize>,
    refuses: bool,
}

impl KvmVfio for Recorder {
    fn add(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        if self.refuses {
            return Err(Errno::INVAL.into());
        }
        *self.added.lock().unwrap() += 1;
        Ok(())
    }

    fn remove(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        *self.removed.lock().unwrap() += 1;
        Ok(())
    }
}

impl Recorder {
    fn counts(&self) -> (usize, usize) {
        (*self.added.lock().unwrap(), *self.removed.lock().unwrap())
    }
}

fn with_kvm(backend: Backend, kvm: &Arc<Recorder>) -> Arc<dyn Container> {
    let kvm: Arc<dyn KvmVfio> = Arc::clone(kvm) as _;
    choose(Options {
        policy: only(backend),
        kvm: Some(kvm),
        ..Options::default()
    })
    .container
}

fn kvm_registration_lasts_while_attached(backend: Backend) {
    let taken = take(EDU);
    let kvm = Arc::new(Recorder::default());
    let container = with_kvm(backend, &kvm);
    let member = attach(&container, EDU);
    assert_eq!(kvm.counts(), (1, 0));
    let candidate = member.detach().unwrap();
    assert_eq!(kvm.counts(), (1, 1));
    drop(candidate);
    // If a later step of the attach fails, the registration is undone.
    let options = AttachOptions {
        token: Some([7; 16]),
        ..AttachOptions::default()
    };
    container.attach(at(EDU), options).unwrap_err();
    assert_eq!(kvm.counts(), (2, 2));
    drop(attach(&container, EDU));
    assert_eq!(kvm.counts(), (3, 3));
    drop(taken);
}

fn device_refused_by_kvm_is_not_attached(backend: Backend) {
    let taken = take(EDU);
    let kvm = Arc::new(Recorder {
        refuses: true,
        ..Recorder::default()
    });
    let refused = with_kvm(backend, &kvm);
    let Failed { state, error } = refused
        .attach(at(EDU), AttachOptions::default())
        .unwrap_err();
    assert!(matches!(error, Error::Kvm { .. }), "{error}");
    let state = match state {
        Candidate::Source(Source::Fd(_)) | Candidate::Source(Source::Pci(_)) => state,
        other => panic!("{other}"),
    };
    let container = container(backend);
    container.attach(state, AttachOptions::default()).unwrap();
    drop(taken);
}
