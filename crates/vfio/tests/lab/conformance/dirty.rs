//! Dirty pages. The virtual host's IOMMU does not report them: `iommufd` fails, and `type1` reports
//! every mapped page. `container/mock.rs` has page tables that report them.

use passthru_lab::devices::EDU;
use passthru_vfio::container::{Access, Backend, DirtyRange, Error};

use super::{PAGE, map, memory, on_both_backends, with_edu};

const IOVA: u64 = 0x10_0000;

on_both_backends! {
    dirty_tracking_works_or_names_devices
    unmap_dirty_returns_dirty_pages
    dirty_pages_without_tracking_are_refused
    too_small_bitmap_is_refused
}

fn dirty_tracking_works_or_names_devices(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &setup.container;
    for iova in [IOVA, IOVA + 68 * PAGE] {
        map(&**dma, memory(3), iova, Access::ReadWrite).unwrap();
    }
    let tracking = dma.set_dirty_tracking(true);
    if backend == Backend::Iommufd {
        let error = tracking.unwrap_err();
        let Error::NoDirtyTracking { devices } = &error else {
            panic!("{error}")
        };
        assert_eq!(devices, &[EDU]);
        assert!(error.hint().is_some());
        return;
    }

    tracking.unwrap();
    let mut bitmap = [1 << 63, 0, 0];
    dma.dirty_pages(DirtyRange::new(IOVA, 128 * PAGE, PAGE), true, &mut bitmap)
        .unwrap();
    assert_eq!(bitmap, [1 << 63 | 7, 7 << 4, 0]);
    dma.set_dirty_tracking(false).unwrap();
    assert!(
        dma.dirty_pages(DirtyRange::new(IOVA, 128 * PAGE, PAGE), true, &mut bitmap)
            .is_err()
    );
}

fn unmap_dirty_returns_dirty_pages(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &setup.container;
    map(&**dma, memory(2), IOVA + PAGE, Access::ReadWrite).unwrap();
    let mut bitmap = [0];
    if backend == Backend::Iommufd {
        let error = dma
            .unmap_dirty(DirtyRange::new(IOVA, 8 * PAGE, PAGE), &mut bitmap)
            .unwrap_err();
        assert!(matches!(error, Error::NotTracking), "{error}");
        assert_eq!(dma.unmap_all().unwrap(), 2 * PAGE);
        return;
    }

    dma.set_dirty_tracking(true).unwrap();
    assert_eq!(
        dma.unmap_dirty(DirtyRange::new(IOVA, 8 * PAGE, PAGE), &mut bitmap)
            .unwrap(),
        2 * PAGE
    );
    assert_eq!(bitmap, [6]);
    assert_eq!(dma.unmap_all().unwrap(), 0);
}

fn dirty_pages_without_tracking_are_refused(backend: Backend) {
    let setup = with_edu(backend);
    map(&*setup.container, memory(1), IOVA, Access::ReadWrite).unwrap();
    let error = setup
        .container
        .dirty_pages(DirtyRange::new(IOVA, PAGE, PAGE), true, &mut [0])
        .unwrap_err();
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("start") || hint.contains("on")),
        "{error}"
    );
    setup.container.set_dirty_tracking(false).unwrap();
}

fn too_small_bitmap_is_refused(backend: Backend) {
    let setup = with_edu(backend);
    for (length, page_size) in [(65 * PAGE, PAGE), (PAGE, 3), (0, PAGE)] {
        let error = setup
            .container
            .dirty_pages(DirtyRange::new(IOVA, length, page_size), true, &mut [0])
            .unwrap_err();
        assert!(matches!(error, Error::Bitmap { .. }), "{error}");
    }
}
