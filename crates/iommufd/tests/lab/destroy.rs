//! Destruction of objects.

use std::sync::Arc;

use passthru_iommufd::{Access, Error, Ioas, Iommufd, Iova};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::{LENGTH, assert_hint, errno, ioas, memory};

#[test]
fn dropped_ioas_frees_its_id() {
    let first = ioas();
    let context = Arc::clone(first.context());
    let before = Ioas::alloc(&context).unwrap().id();
    for _ in 0..10_000 {
        assert_eq!(Ioas::alloc(&context).unwrap().id(), before);
    }
}

#[test]
fn ioas_in_use_is_not_destroyed() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let context = Arc::clone(ioas.context());
    let id = ioas.id();
    let error = Arc::into_inner(ioas).unwrap().close().unwrap_err();
    assert_hint(&error, Errno::BUSY, "detach");
    drop(device);
    mock::destroy(&context, id).unwrap();
}

#[test]
fn close_destroys_once() {
    let ioas = ioas();
    let context = Arc::clone(ioas.context());
    let id = ioas.id();
    Arc::into_inner(ioas).unwrap().close().unwrap();
    assert_eq!(mock::destroy(&context, id), Err(Errno::NOENT));
}

#[test]
fn context_lasts_as_long_as_its_ioas() {
    let _host = passthru_lab::host();
    let context = Arc::new(Iommufd::open().unwrap());
    let ioas = Ioas::alloc(&context).unwrap();
    drop(context);

    assert_eq!(ioas.iova_ranges().unwrap().ranges.len(), 1);

    ioas.close().unwrap();
}

#[test]
fn destroyed_ioas_is_named_and_dropped_without_panic() {
    let ioas = ioas();
    let id = ioas.id();
    let memory = memory(LENGTH);
    let mapping = ioas.map_memory(&memory, Iova::Any, Access::Read).unwrap();
    mock::destroy(ioas.context(), id).unwrap();
    let errors: [Error; 7] = [
        ioas.iova_ranges().unwrap_err(),
        ioas.allow_iovas(&[]).unwrap_err(),
        ioas.huge_pages().unwrap_err(),
        ioas.set_compat().unwrap_err(),
        ioas.unmap_all().unwrap_err(),
        ioas.map_memory(&memory, Iova::Any, Access::Read)
            .unwrap_err(),
        mapping.unmap().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(errno(&error), Some(Errno::NOENT), "{error}");
        assert!(error.to_string().contains(&format!(" {id}")), "{error}");
    }

    drop(ioas);
}
