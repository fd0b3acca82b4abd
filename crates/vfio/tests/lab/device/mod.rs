//! Devices: each kind of call once with success, and once with failure.

mod iommu;
mod regions;
mod states;

use passthru_host::{Assignment, Host, Request};
use passthru_iommufd::{Ioas, Iommufd};
use passthru_vfio::device::{Attached, Bound, Device, Error, Source};
use rustix::io::Errno;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device that is on vfio-pci until this is dropped. Tests that take devices do so one at a time, since a process
/// claims a device once.
pub(crate) struct Taken {
    pub(crate) address: String,
    _assignment: Assignment,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

/// Takes a device, on the virtual host only.
pub(crate) fn take(address: &str) -> Taken {
    let _host = passthru_lab::host();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let request = Request::managed(address.parse().unwrap());
    let assignment = Host::new().assign(&[request], Some("test"), false).unwrap();
    Taken { address: address.into(), _assignment: assignment, _turn: turn }
}

impl Taken {
    pub(crate) fn source(&self) -> Source {
        Source::Pci(self.address.parse().unwrap())
    }

    /// The device, bound to an iommufd.
    pub(crate) fn bind(&self, to: &Arc<Iommufd>) -> Bound {
        self.source().open().unwrap().bind(to, None).unwrap()
    }

    /// The device, bound to an iommufd of its own.
    pub(crate) fn bound(&self) -> Bound {
        self.bind(&iommufd())
    }

    /// What can be done with the device.
    pub(crate) fn device(&self) -> Device {
        self.bound().device().clone()
    }

    /// The device, attached to an empty address space of its own.
    pub(crate) fn attached(&self) -> (Attached, Arc<Ioas>) {
        let context = iommufd();
        let ioas = Arc::new(Ioas::alloc(&context).unwrap());
        (self.bind(&context).attach(Arc::clone(&ioas)).unwrap(), ioas)
    }
}

pub(crate) fn iommufd() -> Arc<Iommufd> {
    Arc::new(Iommufd::open().unwrap())
}

pub(crate) fn errno(error: &Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

/// The error is the kernel's with this number, and its hint has these words.
#[track_caller]
pub(crate) fn assert_hint(error: &Error, number: Errno, words: &str) {
    assert_eq!(errno(error), Some(number), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains(words)), "{error}: {:?}", error.hint());
}
