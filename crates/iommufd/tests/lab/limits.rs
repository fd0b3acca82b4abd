//! The limit on pinned memory, as an unprivileged user.

use crate::mock::Device;
use crate::{assert_hint, memory};
use passthru_iommufd::{Access, Accounting, Ioas, Iommufd, Iova};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Uid, getrlimit, setrlimit};
use std::sync::Arc;
use std::thread;

const MIB: u64 = 1 << 20;

#[test]
fn memory_beyond_the_limit_is_refused_with_a_hint() {
    let _host = passthru_lab::host();
    let context = Arc::new(Iommufd::open().unwrap());
    context.set_accounting(Accounting::Process).unwrap();
    let ioas = Arc::new(Ioas::alloc(&context).unwrap());
    let _device = Device::attach(&ioas).unwrap();
    let former = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: Some(MIB), ..former }).unwrap();
    let unprivileged = thread::spawn(move || {
        // Of this thread alone.
        rustix::thread::set_thread_uid(Uid::from_raw(65534)).unwrap();
        let small = ioas.map_memory(&memory(MIB / 2), Iova::Any, Access::ReadWrite);
        let large = ioas.map_memory(&memory(MIB), Iova::Any, Access::ReadWrite);
        (small.map(drop), large.map(drop), ioas.map_memory(&memory(MIB), Iova::Any, Access::Read).map(drop))
    });
    let (small, beside_it, alone) = unprivileged.join().unwrap();
    setrlimit(Resource::Memlock, former).unwrap();
    small.unwrap();
    assert_hint(&beside_it.unwrap_err(), Errno::NOMEM, "RLIMIT_MEMLOCK");
    alone.unwrap();
}
