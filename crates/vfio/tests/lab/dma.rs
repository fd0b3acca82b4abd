//! Buffers for DMA, with both backends.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use passthru_iommufd::{Access, IovaRanges};
use passthru_lab::{HeldResources, each_failure};
use passthru_vfio::container::{self, AttachOptions, Container, Options, Policy};
use passthru_vfio::dma::{DmaPool, Error, IovaAllocator};

use crate::taken::take;

/// Runs a test with an attached device, for each backend.
fn with_each(test: impl Fn(&Arc<dyn Container>)) {
    for policy in [Policy::Iommufd, Policy::Type1] {
        let device = take(passthru_lab::devices::EDU);
        let choice = container::open(
            &Options {
                policy,
                ..Options::default()
            },
            &[],
        )
        .unwrap();
        let member = choice
            .container
            .attach(device.source().into(), AttachOptions::default())
            .unwrap();
        test(&choice.container);
        drop(member);
    }
}

fn pool(container: &Arc<dyn Container>) -> Arc<DmaPool> {
    let iovas = IovaAllocator::new(&container.iova_ranges().unwrap(), 4096);
    DmaPool::new(Arc::clone(container) as _, iovas)
}

#[test]
fn buffer_is_mapped_until_dropped() {
    with_each(|container| {
        let pool = pool(container);
        let first = pool.buffer(1, Access::ReadWrite).unwrap();
        let iova = first.iova();
        let length = first.len() as u64;
        assert_eq!(length, 4096);
        let second = pool.buffer(8192, Access::Read).unwrap();
        assert_ne!(second.iova(), iova);
        first.close().unwrap();
        assert!(
            container.unmap(iova, length).is_err(),
            "the buffer is unmapped already"
        );
        assert_eq!(
            pool.buffer(4096, Access::Write).unwrap().iova(),
            iova,
            "its IOVA is free again"
        );
        drop(second);
        assert_eq!(container.unmap_all().unwrap(), 0);
    });
}

#[test]
fn buffer_skips_taken_iova() {
    with_each(|container| {
        let one = pool(container);
        let other = pool(container);
        let first = one.buffer(8192, Access::ReadWrite).unwrap();
        let second = other.buffer(4096, Access::ReadWrite).unwrap();
        assert_eq!(second.iova(), first.iova() + 8192);
        drop((first, second));
        assert_eq!(container.unmap_all().unwrap(), 0);
    });
}

#[test]
fn buffer_search_resumes_after_taken_iovas() {
    with_each(|container| {
        let one = pool(container);
        let other = pool(container);
        let first = one.buffer(100 * 4096, Access::ReadWrite).unwrap();
        let error = other.buffer(4096, Access::ReadWrite).unwrap_err();
        assert!(matches!(error, Error::Container(_)), "{error:?}");
        let second = other.buffer(4096, Access::ReadWrite).unwrap();
        assert_eq!(second.iova(), first.iova() + 100 * 4096);
        drop((first, second));
        assert_eq!(container.unmap_all().unwrap(), 0);
    });
}

#[test]
fn late_device_narrows_pool_iovas() {
    let device = take(passthru_lab::devices::EDU);
    let options = Options {
        policy: Policy::Iommufd,
        ..Options::default()
    };
    let container = container::open(&options, &[]).unwrap().container;
    let mut iovas = IovaAllocator::new(&container.iova_ranges().unwrap(), 4096);
    iovas.reserve(4096..=0xfedf_ffff).unwrap();
    let pool = DmaPool::new(Arc::clone(&container) as _, iovas);
    let _member = container
        .attach(device.source().into(), AttachOptions::default())
        .unwrap();
    let buffers = [(); 2].map(|()| pool.buffer(4096, Access::ReadWrite).unwrap());

    assert_eq!(
        buffers.map(|buffer| buffer.iova()),
        [0xfef0_0000, 0xfef0_1000]
    );
}

/// Injects failures into this thread's copies from and to user space, after the first one.
///
/// `times` is the number of copies that fail.
fn failing_copies<T>(times: u32, during: impl FnOnce() -> T) -> T {
    let thread = OpenOptions::new()
        .write(true)
        .open("/proc/thread-self/make-it-fail")
        .unwrap();
    set_fail_usercopy("task-filter", "Y");
    set_fail_usercopy("verbose", "0");
    set_fail_usercopy("space", "2");
    set_fail_usercopy("probability", "100");
    set_fail_usercopy("times", &times.to_string());
    thread.write_at(b"1", 0).unwrap();
    let result = during();
    thread.write_at(b"0", 0).unwrap();
    set_fail_usercopy("probability", "0");
    result
}

fn set_fail_usercopy(setting: &str, value: &str) {
    let folder = Path::new("/sys/kernel/debug/fail_usercopy");
    fs::write(folder.join(setting), value).unwrap();
}

/// Returns the size of this process's address space, in pages.
fn size_of_process() -> u64 {
    fs::read_to_string("/proc/self/statm")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn failed_unmap_keeps_memory_and_iova() {
    const LENGTH: usize = 64 << 20;
    let device = take(passthru_lab::devices::EDU);
    let options = Options {
        policy: Policy::Iommufd,
        ..Options::default()
    };
    let container = container::open(&options, &[]).unwrap().container;
    let _member = container
        .attach(device.source().into(), AttachOptions::default())
        .unwrap();
    let pool = pool(&container);
    // The map fails after it took effect, and each unmap fails: the memory stays mapped.
    let before = size_of_process();
    let error = failing_copies(4, || pool.buffer(LENGTH, Access::ReadWrite)).unwrap_err();

    assert!(
        matches!(
            error,
            Error::Container(container::Error::PerhapsMapped { .. })
        ),
        "{error:?}"
    );
    assert!(size_of_process() >= before + (LENGTH / 4096) as u64);
    assert_eq!(
        pool.buffer(4096, Access::ReadWrite).unwrap().iova(),
        4096 + LENGTH as u64
    );
    assert_eq!(container.unmap_all().unwrap(), LENGTH as u64);

    // With one failure fewer, the last unmap succeeds.
    let before = size_of_process();
    let error = failing_copies(3, || pool.buffer(LENGTH, Access::ReadWrite)).unwrap_err();
    assert!(
        !matches!(
            error,
            Error::Container(container::Error::PerhapsMapped { .. })
        ),
        "{error:?}"
    );
    assert!(size_of_process() < before + (LENGTH / 4096) as u64);
    assert_eq!(container.unmap_all().unwrap(), 0);
}

#[test]
fn buffer_unmapped_by_others_is_freed() {
    with_each(|container| {
        let pool = pool(container);
        let buffer = pool.buffer(4096, Access::ReadWrite).unwrap();
        container.unmap_all().unwrap();
        buffer.close().unwrap();
        assert_eq!(pool.buffer(4096, Access::ReadWrite).unwrap().len(), 4096);
    });
}

fn make_buffer(pool: &Arc<DmaPool>) -> Result<(), Error> {
    pool.buffer(8192, Access::ReadWrite)?.close()
}

#[test]
fn buffer_failure_can_be_repeated() {
    with_each(|container| {
        let pool = pool(container);
        let mut failed = 0;
        let injected = each_failure(passthru_lab::host(), |failure| {
            let before = HeldResources::read().unwrap();
            failed += usize::from(failure.during(|| make_buffer(&pool)).is_err());
            make_buffer(&pool).unwrap();
            assert_eq!(container.unmap_all().unwrap(), 0);
            assert_eq!(HeldResources::read().unwrap(), before, "{failure:?}");
        });
        assert!(injected > 0 && failed > 0, "{failed} of {injected}");
    });
}

#[test]
fn pool_without_iovas_returns_exhausted() {
    with_each(|container| {
        let none = IovaRanges {
            ranges: Vec::new(),
            alignment: 4096,
        };
        let pool = DmaPool::new(Arc::clone(container) as _, IovaAllocator::new(&none, 4096));
        assert!(matches!(
            pool.buffer(1, Access::Read),
            Err(Error::Iova { length: 1, .. })
        ));
    });
}
