//! The limit on pinned memory, as an unprivileged user.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_iommufd::{Access, Accounting, Ioas, Iommufd, Iova};
use rustix::io::Errno;

use crate::mock::Device;
use crate::{assert_hint, memory};

const MIB: u64 = 1 << 20;

/// An address space with a device attached.
fn attached(context: &Arc<Iommufd>) -> (Arc<Ioas>, Device) {
    let ioas = Arc::new(Ioas::alloc(context).unwrap());
    let device = Device::attach(&ioas).unwrap();
    (ioas, device)
}

/// A context that charges the process.
fn context() -> Arc<Iommufd> {
    let _host = passthru_lab::host();
    let context = Iommufd::open().unwrap();
    context.set_accounting(Accounting::Process).unwrap();
    Arc::new(context)
}

/// Does something where 1 MiB may be pinned, in a thread without privileges.
fn within_a_mebibyte<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    passthru_lab::within_memlock(passthru_lab::host(), MIB, work)
}

#[test]
fn memory_beyond_the_limit_is_refused_with_a_hint() {
    let (ioas, _device) = attached(&context());
    let map = |length| ioas.map_memory(&memory(length), Iova::Any, Access::ReadWrite);
    within_a_mebibyte(|| {
        let small = map(MIB / 2).unwrap();
        assert_hint(&map(MIB).unwrap_err(), Errno::NOMEM, "RLIMIT_MEMLOCK");
        drop(small);
        map(MIB).unwrap();
    });
}

#[test]
fn copied_memory_is_charged_once() {
    let context = context();
    let ((one, _first), (other, _second)) = (attached(&context), attached(&context));
    let memory = memory(MIB);
    within_a_mebibyte(|| {
        let mapping = one
            .map_memory(&memory, Iova::Any, Access::ReadWrite)
            .unwrap();
        let again = other
            .map_memory(&memory, Iova::Any, Access::ReadWrite)
            .unwrap_err();
        assert_hint(&again, Errno::NOMEM, "RLIMIT_MEMLOCK");
        // SAFETY: the memory outlives what is mapped here, and is not accessed.
        let copied =
            unsafe { other.copy_from(&one, mapping.iova(), MIB, Iova::Any, Access::ReadWrite) };
        assert_eq!(other.unmap(copied.unwrap(), MIB).unwrap(), MIB);
    });
}
