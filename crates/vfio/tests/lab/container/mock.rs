//! Dirty pages of an iommufd container, with page tables of the kernel's mock device.
//!
//! The IOMMU of the virtual host does not report dirty pages. The mock device's IOMMU does.

#[path = "../../../../iommufd/tests/kernel_test/mod.rs"]
mod kernel_test;

use std::any::Any;
use std::sync::Arc;

use passthru_iommufd::{BoundDevice, Hwpt, HwptOptions, Ioas, Iommufd};
use passthru_lab::each_failure_leaves_nothing as each;
use passthru_vfio::container::{Access, Container, DirtyRange, Dma, Error, IommufdContainer};

use kernel_test::{DIRTY, MOCK_DOMAIN_FLAGS, test};

use crate::conformance::{PAGE, map, memory};
use crate::taken::iommufd;

/// An IOVA that the mock device can use.
pub(crate) const IOVA: u64 = 1 << 30;

/// The mock device, which stays attached until its context is closed.
#[derive(Debug)]
pub(crate) struct Mock {
    context: Arc<Iommufd>,
    id: u32,
}

impl BoundDevice for Mock {
    fn context(&self) -> &Arc<Iommufd> {
        &self.context
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn binding(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.context) as _
    }
}

impl Mock {
    pub(crate) fn new(ioas: &Ioas) -> Self {
        let context = Arc::clone(ioas.context());
        let (arguments, _) = test(&context, MOCK_DOMAIN_FLAGS, ioas.id(), &[0, 0]).unwrap();
        let id = arguments[1] as u32;
        Self { context, id }
    }

    /// Allocates a page table that reports dirty pages.
    pub(crate) fn table(&self, ioas: &Arc<Ioas>) -> Arc<Hwpt> {
        let options = HwptOptions {
            dirty_tracking: true,
            ..HwptOptions::default()
        };
        Arc::new(Hwpt::alloc(self, ioas, &options).unwrap())
    }
}

/// Marks some of the 64 pages from [`IOVA`] on as dirty, as a write by a device does.
pub(crate) fn write_to(table: &Hwpt, pages: u64) {
    let bits = [pages];
    let given = [0, IOVA, 64 * PAGE, PAGE, bits.as_ptr() as u64];
    test(table.context(), DIRTY, table.id(), &given).unwrap();
}

/// Makes a container with 64 pages, each in a mapping of its own, and two page tables over it.
fn container() -> (IommufdContainer, [Arc<Hwpt>; 2]) {
    let _host = passthru_lab::host();
    let container = IommufdContainer::new(&iommufd(), None).unwrap();
    let ioas = container.ioas().unwrap();
    ioas.set_huge_pages(false).unwrap();
    let mock = Mock::new(ioas);
    map(&container, memory(64), IOVA, Access::ReadWrite).unwrap();
    let tables = [mock.table(ioas), mock.table(ioas)];
    (container, tables)
}

pub(super) fn dirty(container: &dyn Dma, clear: bool) -> u64 {
    let mut bitmap = [0];
    container
        .dirty_pages(DirtyRange::new(IOVA, 64 * PAGE, PAGE), clear, &mut bitmap)
        .unwrap();
    bitmap[0]
}

#[test]
fn dirty_pages_of_all_page_tables_are_merged() {
    let (container, [one, other]) = container();
    let _one = container.include(&one).unwrap();
    container.set_dirty_tracking(true).unwrap();
    // The other table joins while dirty pages are tracked, and leaves with dirty pages.
    let joined = container.include(&other).unwrap();
    write_to(&one, 0b0011);
    write_to(&other, 0b0110);
    drop(joined);

    assert_eq!(dirty(&container, false), 0b0111);
    assert_eq!(dirty(&container, true), 0b0111);
    assert_eq!(dirty(&container, true), 0);

    write_to(&one, 1 << 63);
    let mut bitmap = [1];
    assert_eq!(
        container
            .unmap_dirty(DirtyRange::new(IOVA, 64 * PAGE, PAGE), &mut bitmap)
            .unwrap(),
        64 * PAGE
    );
    assert_eq!(bitmap, [1 | 1 << 63]);

    container.set_dirty_tracking(false).unwrap();
    assert!(matches!(
        container.dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut bitmap),
        Err(Error::NotTracking)
    ));
}

#[test]
fn tracking_starts_on_all_page_tables_or_none() {
    let (container, [one, _]) = container();
    let _one = container.include(&one).unwrap();
    let ioas = container.ioas().unwrap();
    let silent = Arc::new(Hwpt::alloc(&Mock::new(ioas), ioas, &HwptOptions::default()).unwrap());
    let included = container.include(&silent).unwrap();

    assert!(
        container
            .set_dirty_tracking(true)
            .unwrap_err()
            .io()
            .is_some()
    );
    assert!(matches!(
        container.dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut [0]),
        Err(Error::NotTracking)
    ));

    drop(included);
    container.set_dirty_tracking(true).unwrap();
    container.include(&silent).unwrap_err();
    let elsewhere = IommufdContainer::new(ioas.context(), None).unwrap();
    assert!(matches!(elsewhere.include(&one), Err(Error::OtherTable)));
}

#[test]
fn failed_tracking_of_page_tables_can_be_repeated() {
    let (container, tables) = container();
    let _included = tables
        .each_ref()
        .map(|table| container.include(table).unwrap());
    each(|failure| {
        let failed = failure
            .during(|| container.set_dirty_tracking(true))
            .is_err();
        if failed {
            assert!(matches!(
                container.dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut [0]),
                Err(Error::NotTracking)
            ));
            container.set_dirty_tracking(true).unwrap();
        }
        write_to(&tables[0], 1);
        write_to(&tables[1], 2);
        assert_eq!(dirty(&container, true), 3);
        container.set_dirty_tracking(false).unwrap();
        failed
    });
    each(|failure| {
        container.set_dirty_tracking(true).unwrap();
        // A start after a failed stop makes all pages clean.
        assert_eq!(dirty(&container, true), 0, "{failure:?}");
        write_to(&tables[0], 1);
        write_to(&tables[1], 2);
        let failed = failure
            .during(|| container.set_dirty_tracking(false))
            .is_err();
        // Some dirty pages may be lost, so that the query fails instead of returning a part.
        let result = container.dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut [0]);
        assert!(matches!(result, Err(Error::NotTracking)), "{failure:?}");
        failed
    });
    container.set_dirty_tracking(false).unwrap();
    container.set_dirty_tracking(true).unwrap();
    let late = Mock::new(container.ioas().unwrap()).table(container.ioas().unwrap());
    each(|failure| {
        let included = failure.during(|| container.include(&late));
        let failed = included.is_err();
        let included = included.unwrap_or_else(|_| container.include(&late).unwrap());
        write_to(&late, 8);
        assert_eq!(dirty(&container, true), 8);
        drop(included);
        container.set_dirty_tracking(false).unwrap();
        container.set_dirty_tracking(true).unwrap();
        failed
    });
}

#[test]
fn failure_loses_no_dirty_page_of_page_tables() {
    let (container, tables) = container();
    let _included = tables
        .each_ref()
        .map(|table| container.include(table).unwrap());
    container.set_dirty_tracking(true).unwrap();
    let length = 64 * PAGE;
    let written = 0b1001;
    let mut partial_reads = 0;
    for clear in [true, false] {
        each(|failure| {
            write_to(&tables[0], 0b0001);
            write_to(&tables[1], 0b1000);
            let mut bitmap = [0];
            let failed = failure
                .during(|| {
                    container.dirty_pages(DirtyRange::new(IOVA, length, PAGE), clear, &mut bitmap)
                })
                .is_err();
            partial_reads += u32::from(failed && bitmap != [0]);
            if failed {
                container
                    .dirty_pages(DirtyRange::new(IOVA, length, PAGE), clear, &mut bitmap)
                    .unwrap();
            }
            assert_eq!(bitmap, [written]);
            failed
        });
    }

    assert!(
        partial_reads > 0,
        "pages of one table are returned although the other table failed"
    );

    container.unmap_all().unwrap();
    let memory = memory(64);
    each(|failure| {
        map(&container, memory, IOVA, Access::ReadWrite).unwrap();
        write_to(&tables[0], 0b0001);
        write_to(&tables[1], 0b1000);
        let mut bitmap = [0];
        let failed = failure
            .during(|| container.unmap_dirty(DirtyRange::new(IOVA, length, PAGE), &mut bitmap))
            .is_err();
        if failed {
            // The failed call may have unmapped the range.
            let _ = container.unmap_dirty(DirtyRange::new(IOVA, length, PAGE), &mut bitmap);
        }
        assert_eq!((container.unmap_all().unwrap(), bitmap), (0, [written]));
        failed
    });
}

#[test]
fn page_table_without_dirty_pages_joins_after_tracking() {
    let (container, [one, _]) = container();
    let _one = container.include(&one).unwrap();
    let ioas = container.ioas().unwrap();
    let silent = Arc::new(Hwpt::alloc(&Mock::new(ioas), ioas, &HwptOptions::default()).unwrap());
    container.set_dirty_tracking(true).unwrap();
    container.include(&silent).unwrap_err();
    write_to(&one, 1);

    assert_eq!(dirty(&container, true), 1);

    container.set_dirty_tracking(false).unwrap();
    container.include(&silent).unwrap();
}

#[test]
fn page_table_blocks_discards() {
    let (container, [one, other]) = container();
    let discards = container.discards();
    assert!(discards.allowed());

    let [included, kept] = [&one, &other].map(|table| container.include(table).unwrap());
    container.set_dirty_tracking(true).unwrap();
    let name = format!("page table {}", one.id());
    drop((included, one, kept));
    assert!(!discards.allowed());

    drop(other);
    // Only the container still has the tables, for the dirty pages that they report.
    let error = discards.begin().unwrap_err();
    let Error::Pinned { devices } = &error else {
        panic!("{error}")
    };
    assert_eq!(devices.len(), 2);
    assert!(devices.contains(&name), "{error}");

    container.set_dirty_tracking(false).unwrap();
    drop(discards.begin().unwrap());
    let kept = Mock::new(container.ioas().unwrap()).table(container.ioas().unwrap());
    drop(container.include(&kept).unwrap());
    assert!(!discards.allowed());

    drop(kept);
    let discarding = discards.begin().unwrap();
    let late = Mock::new(container.ioas().unwrap()).table(container.ioas().unwrap());
    assert!(matches!(
        container.include(&late),
        Err(Error::Discarding { .. })
    ));

    drop(discarding);
    container.include(&late).unwrap();
}
