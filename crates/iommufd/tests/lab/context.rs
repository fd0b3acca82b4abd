//! Contexts: accounting, descriptors, the container interface.

use std::os::fd::AsFd;
use std::process::Command;

use passthru_iommufd::{Access, Accounting, Iommufd, Iova};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use crate::{LENGTH, assert_hint, errno, ioas, memfd, memory};

#[test]
fn accounting_is_set_only_while_the_context_is_empty() {
    let ioas = ioas();
    let context = ioas.context();
    assert_eq!(context.accounting().unwrap(), Accounting::User);

    assert_hint(
        &context.set_accounting(Accounting::Process).unwrap_err(),
        Errno::BUSY,
        "empty",
    );
    let empty = Iommufd::open().unwrap();
    empty.set_accounting(Accounting::Process).unwrap();
    assert_eq!(empty.accounting().unwrap(), Accounting::Process);
}

#[test]
fn context_is_not_inherited() {
    let ioas = ioas();
    assert!(
        fcntl_getfd(ioas.context().as_fd())
            .unwrap()
            .contains(FdFlags::CLOEXEC)
    );

    let listed = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("/proc/") && !listed.contains("iommu"),
        "{listed}"
    );
}

#[test]
fn inherited_context_is_not_passed_on() {
    let fd = Iommufd::open().unwrap().duplicate().unwrap();
    fcntl_setfd(&fd, FdFlags::empty()).unwrap();
    let context = Iommufd::from_fd(fd).unwrap();
    assert!(
        fcntl_getfd(context.as_fd())
            .unwrap()
            .contains(FdFlags::CLOEXEC)
    );
}

#[test]
fn container_interface_gets_the_ioas_that_was_set() {
    let ioas = ioas();
    let context = ioas.context();
    assert_eq!(context.compat_ioas().unwrap(), None);

    ioas.set_compat().unwrap();
    assert_eq!(context.compat_ioas().unwrap(), Some(ioas.id()));

    context.clear_compat_ioas().unwrap();
    assert_eq!(context.compat_ioas().unwrap(), None);
}

#[test]
fn only_mappings_of_files_pass_to_another_process() {
    let ioas = ioas();
    ioas.map_file(memfd(LENGTH), 0, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap();
    ioas.context().change_process().unwrap();

    let mapping = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::Read)
        .unwrap();
    assert_hint(
        &ioas.context().change_process().unwrap_err(),
        Errno::INVAL,
        "memfd",
    );
    mapping.unmap().unwrap();

    assert_eq!(
        ioas.context().change_process().map_err(|e| errno(&e)),
        Ok(())
    );
}

#[test]
fn duplicate_is_the_same_context_and_close_on_exec() {
    let ioas = ioas();
    let copy = ioas.context().duplicate().unwrap();
    assert!(fcntl_getfd(&copy).unwrap().contains(FdFlags::CLOEXEC));

    let other = Iommufd::from_fd(copy).unwrap();
    ioas.set_compat().unwrap();
    assert_eq!(other.compat_ioas().unwrap(), Some(ioas.id()));
}

#[test]
fn child_reaches_the_context_by_its_duplicate() {
    let ioas = ioas();
    let copy = ioas.context().duplicate().unwrap();
    let listed = Command::new("ls")
        .args(["-l", "/proc/self/fd/0"])
        .stdin(copy)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();

    assert!(listed.contains("/dev/iommu"), "{listed}");
}
