//! The limit on pinned memory, as an unprivileged user.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_iommufd::{Access, Accounting, Error, Ioas, Iommufd, Iova, Mapping};
use rustix::io::Errno;

use crate::mock::Device;
use crate::{assert_hint, memory};

const MIB: u64 = 1 << 20;

/// Allocates an I/O address space with a device attached.
fn attached(context: &Arc<Iommufd>) -> (Arc<Ioas>, Device) {
    let ioas = Arc::new(Ioas::alloc(context).unwrap());
    let device = Device::attach(&ioas).unwrap();
    (ioas, device)
}

/// Opens a context that charges the process.
fn context() -> Arc<Iommufd> {
    let _host = passthru_lab::host();
    let context = Iommufd::open().unwrap();
    context.set_accounting(Accounting::Process).unwrap();
    Arc::new(context)
}

/// Runs `work` in an unprivileged thread, with a limit of 1 MiB for pinned memory.
fn within_a_mebibyte<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    passthru_lab::within_memlock(passthru_lab::host(), MIB, work)
}

fn map(ioas: &Arc<Ioas>, length: u64) -> Result<Mapping, Error> {
    ioas.map_memory(&memory(length), Iova::Any, Access::ReadWrite)
}

#[test]
fn memory_beyond_the_limit_is_refused_with_a_hint() {
    let (ioas, _device) = attached(&context());
    within_a_mebibyte(|| {
        let small = map(&ioas, MIB / 2).unwrap();
        assert_hint(
            &map(&ioas, MIB).unwrap_err(),
            Errno::NOMEM,
            "RLIMIT_MEMLOCK",
        );
        drop(small);
        map(&ioas, MIB).unwrap();
    });
}

#[test]
fn copied_memory_is_charged_once() {
    let context = context();
    let (one, _first) = attached(&context);
    let (other, _second) = attached(&context);
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
