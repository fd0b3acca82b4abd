//! Buffers for DMA, with both backends.

use crate::taken::take;
use passthru_iommufd::{Access, IovaRanges};
use passthru_lab::{Held, each_failure};
use passthru_vfio::container::{self, Attach, Container, Options, Policy};
use passthru_vfio::dma::{Buffer, DmaPool, Error, IovaAllocator};
use std::sync::Arc;

/// Runs a test with an attached device, for each backend.
fn with_each(test: impl Fn(&Arc<dyn Container>)) {
    for policy in [Policy::Iommufd, Policy::Type1] {
        let device = take(passthru_lab::devices::EDU);
        let choice = container::open(&Options { policy, ..Options::default() }, &[]).unwrap();
        let member = choice.container.attach(device.source().into(), Attach::default()).unwrap();
        test(&choice.container);
        drop(member);
    }
}

fn pool(container: &Arc<dyn Container>) -> Arc<DmaPool> {
    let iovas = IovaAllocator::new(&container.iova_ranges().unwrap(), 4096);
    DmaPool::new(Arc::clone(container) as _, iovas)
}

#[test]
fn a_buffer_is_mapped_while_it_is_there() {
    with_each(|container| {
        let pool = pool(container);
        let first = pool.buffer(1, Access::ReadWrite).unwrap();
        let (iova, length) = (first.iova(), first.len() as u64);
        assert_eq!(length, 4096);
        let second = pool.buffer(8192, Access::Read).unwrap();
        assert_ne!(second.iova(), iova);
        first.close().unwrap();
        assert!(container.unmap(iova, length).is_err(), "it is unmapped already");
        assert_eq!(pool.buffer(4096, Access::Write).unwrap().iova(), iova, "its IOVA is free again");
        drop(second);
        assert_eq!(container.unmap_all().unwrap(), 0);
    });
}

#[test]
fn a_buffer_at_an_iova_that_is_taken_leaves_nothing_behind() {
    with_each(|container| {
        let (one, other) = (pool(container), pool(container));
        let first = one.buffer(4096, Access::ReadWrite).unwrap();
        let error = other.buffer(4096, Access::ReadWrite).unwrap_err();
        assert!(matches!(error, Error::Container(_)), "{error:?}");
        first.close().unwrap();
        assert_eq!(other.buffer(4096, Access::ReadWrite).unwrap().len(), 4096);
        assert_eq!(container.unmap_all().unwrap(), 0);
    });
}

#[test]
fn what_somebody_else_unmapped_is_freed_without_a_panic() {
    with_each(|container| {
        let pool = pool(container);
        let buffer = pool.buffer(4096, Access::ReadWrite).unwrap();
        container.unmap_all().unwrap();
        assert!(buffer.close().is_err());
        assert_eq!(pool.buffer(4096, Access::ReadWrite).unwrap().len(), 4096);
    });
}

#[test]
fn a_buffer_can_fail_and_be_made_again() {
    with_each(|container| {
        let pool = pool(container);
        let again = || pool.buffer(8192, Access::ReadWrite).and_then(Buffer::close);
        let mut failed = 0;
        let injected = each_failure(passthru_lab::host(), |failure| {
            let before = Held::now().unwrap();
            failed += usize::from(failure.during(again).is_err());
            again().unwrap();
            assert_eq!(container.unmap_all().unwrap(), 0);
            assert_eq!(Held::now().unwrap(), before, "{failure:?}");
        });
        assert!(injected > 0 && failed > 0, "{failed} of {injected}");
    });
}

#[test]
fn a_pool_without_iovas_says_so() {
    with_each(|container| {
        let none = IovaRanges { ranges: Vec::new(), alignment: 4096 };
        let pool = DmaPool::new(Arc::clone(container) as _, IovaAllocator::new(&none, 4096));
        assert!(matches!(pool.buffer(1, Access::Read), Err(Error::Iova { length: 1, .. })));
    });
}
