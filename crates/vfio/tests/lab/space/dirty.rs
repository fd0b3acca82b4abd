//! Dirty pages of address spaces.
//!
//! The virtual host's IOMMU does not report them. On type1 every mapped page counts as dirty. On
//! iommufd, page tables of the kernel's mock device report dirty pages.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use passthru_iommufd::Hwpt;
use passthru_lab::{Failure, each_failure};
use passthru_vfio::address_space::{
    AddressSpace, Error, Mapper, Memory, Pages, Section, Span, Translation, VirtualIommu,
};
use passthru_vfio::container::{Access, Container, Dma, IncludedTable, IommufdContainer};

use super::{Guest, PAGE, add};
use crate::container::mock::{IOVA, Mock, write_to};
use crate::taken::iommufd;

#[test]
fn dirty_pages_cover_gaps() {
    let guest = Guest::type1();
    let space = AddressSpace::default();
    space.join(Arc::clone(&guest.container)).unwrap();
    for (at, pages) in [(16, 3), (80, 66)] {
        add(&space, at * PAGE, &memory(pages));
    }
    let all = Span::new(15 * PAGE, 192 * PAGE).unwrap();
    let mut bitmap = [0; 3];
    let error = space.dirty_pages(all, PAGE, true, &mut bitmap).unwrap_err();

    assert!(matches!(error, Error::DirtyPages { .. }), "{error}");

    space.set_dirty_tracking(true).unwrap();
    space.dirty_pages(all, PAGE, true, &mut bitmap).unwrap();
    assert_eq!(bitmap, [0b1110, u64::MAX << 1, 0b111]);

    space.set_dirty_tracking(false).unwrap();
}

#[test]
fn iommu_without_dirty_tracking_is_named() {
    let guest = Guest::iommufd();
    let space = AddressSpace::default();
    space.join(Arc::clone(&guest.container)).unwrap();
    let error = space.set_dirty_tracking(true).unwrap_err();

    assert!(
        matches!(error, Error::DirtyTracking { on: true, .. }) && error.hint().is_some(),
        "{error}"
    );
    assert!(matches!(space.take_dirty(), Err(Error::DirtyPages { .. })));
}

fn memory(pages: u64) -> Arc<Memory> {
    Arc::new(Memory::anonymous(pages * PAGE, Pages::Base).unwrap())
}

fn place() -> Span {
    Span::new(IOVA, 64 * PAGE).unwrap()
}

/// An address space with a container, and a page table that reports dirty pages.
struct DirtySetup {
    system: Arc<AddressSpace>,
    viommu: Option<VirtualIommu>,
    memory: Arc<Memory>,
    container: Arc<dyn Dma>,
    table: Arc<Hwpt>,
    _included: IncludedTable,
}

impl DirtySetup {
    /// Maps 64 pages, and starts dirty tracking. With `behind`, the container is behind a virtual
    /// IOMMU. One thread maps, so that injected failures hit it.
    fn new(behind: bool) -> Self {
        let container = IommufdContainer::new(&iommufd(), None).unwrap();
        let ioas = container.ioas().unwrap();
        ioas.set_huge_pages(false).unwrap();
        let table = Mock::new(ioas).table(ioas);
        let included = container.include(&table).unwrap();
        let mapper = Mapper::new(NonZeroUsize::MIN);
        let system = Arc::new(AddressSpace::default().with_mapper(mapper));
        let viommu = behind.then(|| VirtualIommu::new(&system));
        let memory = memory(64);
        let container = Arc::new(container) as Arc<dyn Dma>;
        let new = Self {
            system,
            viommu,
            memory,
            container,
            table,
            _included: included,
        };
        new.space().join(Arc::clone(&new.container)).unwrap();
        new.space().set_dirty_tracking(true).unwrap();
        new.map().unwrap();
        new
    }

    fn space(&self) -> &AddressSpace {
        self.viommu
            .as_ref()
            .map_or(&*self.system, VirtualIommu::space)
    }

    /// Maps the memory. IOVAs behind a virtual IOMMU equal the guest physical addresses.
    fn map(&self) -> Result<(), Error> {
        if self.system.sections().is_empty() {
            let mut change = self.system.begin();
            change.add(Section::ram(place(), &self.memory, 0).unwrap());
            change.commit()?;
        }

        let translation = Translation {
            iova: place(),
            target: IOVA,
            access: Access::ReadWrite,
        };
        if let Some(viommu) = &self.viommu {
            viommu.map(translation)?;
        }
        Ok(())
    }

    fn unmap(&self) -> Result<(), Error> {
        if let Some(viommu) = &self.viommu {
            return viommu.unmap(place());
        }
        let mut change = self.system.begin();
        change.clear(place());
        change.commit()?;
        Ok(())
    }

    /// Marks pages as dirty, as a write by a device does.
    fn write(&self, pages: u64) {
        write_to(&self.table, pages);
    }

    /// Takes the dirty pages of the memory.
    fn take_pages(&self) -> Result<BTreeSet<u64>, Error> {
        let parts = self.space().take_dirty()?.into_iter();
        let pages = parts.flat_map(|part| {
            assert!(Arc::ptr_eq(&part.memory, &self.memory));
            part.offset / PAGE..(part.offset + part.length) / PAGE
        });
        Ok(pages.collect())
    }
}

#[test]
fn dirty_pages_survive_unmap() {
    let _host = passthru_lab::host();
    for behind in [false, true] {
        let setup = DirtySetup::new(behind);
        setup.write(1 << 3 | 1 << 63);
        assert_eq!(setup.take_pages().unwrap(), [3, 63].into());
        setup.write(1 << 5);
        setup.unmap().unwrap();
        assert_eq!(setup.container.unmap_all().unwrap(), 0);
        setup.map().unwrap();
        setup.write(1 << 7);
        assert_eq!(setup.take_pages().unwrap(), [5, 7].into());
        setup.write(1 << 9);
        setup.system.withdraw(place()).unwrap();
        setup.system.restore(place()).unwrap();
        assert_eq!(setup.take_pages().unwrap(), [9].into());
        setup.write(1 << 11);
        setup.space().leave(&setup.container).unwrap();
        assert_eq!(setup.take_pages().unwrap(), [11].into());
        assert_eq!(setup.take_pages().unwrap(), [].into());
    }
}

/// Runs an operation with each failure, and repeats it if it failed. All pages that were dirty
/// before must be reported.
#[track_caller]
fn loses_nothing(
    behind: bool,
    operation: impl Fn(&DirtySetup, &mut BTreeSet<u64>) -> Result<(), Error>,
) {
    let injected = each_failure(passthru_lab::host(), |failure: &Failure| {
        let setup = DirtySetup::new(behind);
        setup.write(1 << 3 | 1 << 60);
        let mut pages = BTreeSet::new();
        if let Err(error) = failure.during(|| operation(&setup, &mut pages)) {
            operation(&setup, &mut pages).unwrap_or_else(|again| panic!("{again} after {error}"));
        }
        pages.extend(setup.take_pages().unwrap());
        assert!(pages.is_superset(&[3, 60].into()), "{failure:?}: {pages:?}");
    });
    assert!(injected > 0, "no failure was injected");
}

#[test]
fn failed_unmap_loses_no_dirty_page() {
    for behind in [false, true] {
        loses_nothing(behind, |setup, _| setup.unmap());
    }
}

#[test]
fn failed_take_dirty_loses_no_dirty_page() {
    loses_nothing(false, |setup, pages| {
        pages.extend(setup.take_pages()?);
        Ok(())
    });
    loses_nothing(true, |setup, pages| {
        let mut bitmap = [0];
        let answer = setup.space().dirty_pages(place(), PAGE, true, &mut bitmap);
        pages.extend((0..64).filter(|page| bitmap[0] >> page & 1 == 1));
        answer
    });
}

#[test]
fn failed_dirty_tracking_can_be_repeated() {
    for on in [false, true] {
        let mut failed = 0;
        let injected = each_failure(passthru_lab::host(), |failure| {
            let setup = DirtySetup::new(false);
            if on {
                setup.space().set_dirty_tracking(false).unwrap();
            }
            if failure
                .during(|| setup.space().set_dirty_tracking(on))
                .is_err()
            {
                failed += 1;
                assert!(setup.space().take_dirty().is_err(), "{failure:?}");
                setup.space().set_dirty_tracking(on).unwrap();
            }
            assert_eq!(setup.space().take_dirty().is_ok(), on, "{failure:?}");
            setup.space().set_dirty_tracking(true).unwrap();
            setup.write(1 << 5);
            assert_eq!(setup.take_pages().unwrap(), [5].into(), "{failure:?}");
        });
        assert!(injected > 0 && failed > 0, "{failed} of {injected}");
    }
}
