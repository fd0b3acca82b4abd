//! [`Taken`]: a device of the virtual host that a test uses.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use passthru_host::{Assignment, Host, Request};
use passthru_iommufd::{Ioas, Iommufd};
use passthru_vfio::device::{Attached, Bound, Device, Source};

/// A device that is on vfio-pci, or a mediated device, until dropped.
pub(crate) struct Taken {
    source: PathBuf,
    _assignment: Option<Assignment>,
    mdev: bool,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Lock of the tests that take devices: a process can claim a device only once.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for the lock, on the virtual host only.
fn turn() -> MutexGuard<'static, ()> {
    let _host = passthru_lab::host();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a device, on the virtual host only.
pub(crate) fn take(address: &str) -> Taken {
    let turn = turn();
    let [taken] = assign([address], Some(turn));
    taken
}

/// Takes two devices.
pub(crate) fn take_two(one: &str, other: &str) -> [Taken; 2] {
    let turn = turn();
    assign([one, other], Some(turn))
}

/// Takes one more device, while another is taken.
pub(crate) fn take_beside(_other: &Taken, address: &str) -> Taken {
    let [taken] = assign([address], None);
    taken
}

fn assign<const N: usize>(
    addresses: [&str; N],
    mut turn: Option<MutexGuard<'static, ()>>,
) -> [Taken; N] {
    let requests = addresses.map(|address| Request::managed(address.parse().unwrap()));
    let mut assignment = Some(Host::new().assign(&requests, Some("test"), false).unwrap());
    addresses.map(|address| Taken {
        source: format!("/sys/bus/pci/devices/{address}").into(),
        _assignment: assignment.take(),
        mdev: false,
        _turn: turn.take(),
    })
}

/// Makes two mediated serial adapters of two ports each.
pub(crate) fn mtty_two() -> [Taken; 2] {
    let mut turn = Some(turn());
    [1, 2].map(|number| {
        let uuid = format!("83b8f4f2-509f-382f-3c1e-e6bfe0fa100{number}");
        fs::write(
            "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create",
            &uuid,
        )
        .unwrap();
        let source = format!("/sys/bus/mdev/devices/{uuid}").into();
        Taken {
            source,
            _assignment: None,
            mdev: true,
            _turn: turn.take(),
        }
    })
}

impl Taken {
    pub(crate) fn source(&self) -> Source {
        Source::Sysfs(self.source.clone())
    }

    /// Binds the device to an iommufd.
    pub(crate) fn bind(&self, to: &Arc<Iommufd>) -> Bound {
        self.source().open().unwrap().bind(to, None).unwrap()
    }

    /// Binds the device to a new iommufd.
    pub(crate) fn bound(&self) -> Bound {
        self.bind(&iommufd())
    }

    /// Binds the device to a new iommufd. Returns its handle.
    pub(crate) fn device(&self) -> Device {
        self.bound().device().clone()
    }

    /// Attaches the device to a new I/O address space.
    pub(crate) fn attached(&self) -> (Attached, Arc<Ioas>) {
        let context = iommufd();
        let ioas = Arc::new(Ioas::alloc(&context).unwrap());
        let attached = self.bind(&context).attach(Arc::clone(&ioas)).unwrap();
        (attached, ioas)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.mdev {
            fs::write(self.source.join("remove"), "1").unwrap();
        }
    }
}

/// Opens a new iommufd.
pub(crate) fn iommufd() -> Arc<Iommufd> {
    Arc::new(Iommufd::open().unwrap())
}
