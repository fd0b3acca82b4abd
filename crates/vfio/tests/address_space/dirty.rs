//! Dirty pages, over containers that stop at the first gap between mappings as the kernel does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use passthru_vfio::address_space::{
    AddressSpace, Error, Memory, Section, SectionKind, Span, VirtualIommu,
};
use passthru_vfio::container::{self, Access, Dma};

use crate::model::Model;
use crate::{PAGE, add, backing, join, memory, ram, space, span, translation};

/// Returns the numbers of the dirty pages, counted from the start of the span.
fn dirty(space: &AddressSpace, span: Span, clear: bool) -> Vec<u64> {
    let mut bitmap = vec![0; (span.length() / PAGE).div_ceil(64) as usize];
    space.dirty_pages(span, PAGE, clear, &mut bitmap).unwrap();
    (0..span.length() / PAGE)
        .filter(|page| bitmap[*page as usize / 64] >> (page % 64) & 1 == 1)
        .collect()
}

/// Marks pages as dirty, as a write by a device does.
fn write(model: &Model, pages: &[u64]) {
    model
        .dirty
        .lock()
        .unwrap()
        .extend(pages.iter().map(|page| page * PAGE));
}

#[test]
fn dirty_pages_behind_gaps_are_read_and_cleared() {
    let (space, model) = space();
    for (at, pages) in [(10, 3), (20, 100), (200, 1)] {
        add(&space, ram(at * PAGE, pages * PAGE, &memory(pages * PAGE)));
    }
    write(&model, &[10, 12, 20, 73, 74, 119, 200]);
    let from_ten = span(10 * PAGE, 191 * PAGE);
    for clear in [false, true] {
        assert_eq!(dirty(&space, from_ten, clear), [0, 2, 10, 63, 64, 109, 190]);
    }

    assert_eq!(dirty(&space, from_ten, true), [0; 0]);
}

#[test]
fn dirty_pages_skip_discarded_granules() {
    let (space, model) = space();
    let all = span(0, 8 * PAGE);
    let granule = 2 * PAGE;
    let kind = SectionKind::Granules {
        backing: backing(&memory(8 * PAGE)),
        granule,
    };
    add(&space, Section::new(all, kind, Access::ReadWrite).unwrap());
    for at in [0, 4] {
        space.populate(span(at * PAGE, granule)).unwrap();
    }
    write(&model, &[1, 2, 5]);

    assert_eq!(dirty(&space, all, true), [1, 5]);
}

#[test]
fn dirty_pages_of_all_containers_are_merged() {
    let (space, first) = space();
    let second = Model::new();
    join(&space, &second);
    add(&space, ram(0, 4 * PAGE, &memory(4 * PAGE)));
    write(&first, &[1]);
    write(&second, &[3]);

    assert_eq!(dirty(&space, span(0, 4 * PAGE), true), [1, 3]);
}

#[test]
fn dirty_pages_read_before_failure_stay() {
    let (space, model) = space();
    for (at, pages) in [(0, 1), (2, 2)] {
        add(&space, ram(at * PAGE, pages * PAGE, &memory(pages * PAGE)));
    }
    write(&model, &[0, 2, 3]);
    model.fail(0b10);
    let mut bitmap = [0];
    let error = space
        .dirty_pages(span(0, 4 * PAGE), PAGE, true, &mut bitmap)
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "cannot read the dirty pages of 0x2000-0x3fff of the guest"
    );
    // The first page of the second mapping was read before the failure.
    assert_eq!(bitmap, [0b101]);
    assert_eq!(dirty(&space, span(0, 4 * PAGE), true), [3]);
}

/// Takes all dirty memory, which must be of one memory. Returns the numbers of its pages.
fn taken(space: &AddressSpace, memory: &Arc<Memory>) -> Vec<u64> {
    let parts = space.take_dirty().unwrap();
    assert!(
        parts.iter().all(|part| Arc::ptr_eq(&part.memory, memory)),
        "{parts:?}"
    );
    parts
        .iter()
        .flat_map(|part| part.offset / PAGE..(part.offset + part.length) / PAGE)
        .collect()
}

/// Makes an address space with 16 pages of memory, and starts dirty tracking.
fn tracking() -> (AddressSpace, Arc<Model>, Arc<Memory>) {
    let (space, model) = space();
    let memory = memory(16 * PAGE);
    add(&space, ram(0, 16 * PAGE, &memory));
    space.set_dirty_tracking(true).unwrap();
    (space, model, memory)
}

#[test]
fn deleted_section_keeps_dirty_pages_by_memory() {
    let (space, model, memory) = tracking();
    write(&model, &[1, 2, 7]);
    let mut change = space.begin();
    change.del(span(0, 16 * PAGE));
    change.commit().unwrap();

    assert_eq!(taken(&space, &memory), [1, 2, 7]);
    assert_eq!(taken(&space, &memory), [0; 0]);
}

#[test]
fn replaced_section_keeps_dirty_pages_by_address() {
    let (space, model, memory) = tracking();
    write(&model, &[1, 9]);
    let mut change = space.begin();
    change
        .del(span(0, 16 * PAGE))
        .add(Section::ram(span(8 * PAGE, 8 * PAGE), &memory, 8 * PAGE).unwrap());
    change.commit().unwrap();
    let all = span(0, 16 * PAGE);

    assert_eq!(dirty(&space, all, false), [9]);
    assert_eq!(dirty(&space, all, true), [9]);
    assert_eq!(dirty(&space, all, true), [0; 0]);
    assert_eq!(taken(&space, &memory), [1]);
}

#[test]
fn every_kind_of_unmap_keeps_dirty_pages() {
    let (space, model, first) = tracking();
    let granules = SectionKind::Granules {
        backing: backing(&first),
        granule: PAGE,
    };
    let at_100 = span(100 * PAGE, 4 * PAGE);
    add(
        &space,
        Section::new(at_100, granules, Access::ReadWrite).unwrap(),
    );
    space.populate(at_100).unwrap();
    // A change that is undone unmaps and remaps a dirty mapping.
    write(&model, &[1]);
    let mut change = space.begin();
    change
        .del(span(0, 16 * PAGE))
        .add(ram(0, PAGE, &memory(PAGE)));
    model.fail(0b10);
    change.commit().unwrap_err();

    assert_eq!(model.spans().len(), 5);
    assert_eq!(taken(&space, &first), [1]);

    write(&model, &[2]);
    space.withdraw(span(0, 16 * PAGE)).unwrap();
    space.restore(span(0, 16 * PAGE)).unwrap();
    write(&model, &[103]);
    space.discard(at_100).unwrap();
    assert_eq!(taken(&space, &first), [2, 3]);

    write(&model, &[4, 15]);
    let container = model as Arc<dyn Dma>;
    space.leave(&container).unwrap();
    assert_eq!(taken(&space, &first), [4, 15]);
}

#[test]
fn viommu_unmap_keeps_dirty_pages() {
    let (system, _) = space();
    let system = Arc::new(system);
    let memory = memory(16 * PAGE);
    add(&system, ram(0, 16 * PAGE, &memory));
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    viommu.space().set_dirty_tracking(true).unwrap();
    join(viommu.space(), &model);
    let iova = 0x40 * PAGE;
    let length = 2 * PAGE;
    for target in [3, 8, 3] {
        viommu
            .map(translation(iova, length, target * PAGE))
            .unwrap();
        write(&model, &[0x41]);
        viommu.unmap(span(iova, length)).unwrap();
    }

    viommu.map(translation(iova, length, 10 * PAGE)).unwrap();
    write(&model, &[0x40]);
    viommu.replay([]).unwrap();
    viommu.map(translation(iova, length, 12 * PAGE)).unwrap();
    write(&model, &[0x40]);

    assert_eq!(taken(viommu.space(), &memory), [4, 9, 10, 12]);
}

#[test]
fn dropped_viommu_hands_dirty_pages_to_guest_memory() {
    let (system, _) = space();
    let system = Arc::new(system);
    let memory = memory(16 * PAGE);
    add(&system, ram(0, 16 * PAGE, &memory));
    system.set_dirty_tracking(true).unwrap();
    let viommu = VirtualIommu::new(&system);
    let model = Model::new();
    viommu.space().set_dirty_tracking(true).unwrap();
    join(viommu.space(), &model);
    viommu
        .map(translation(0x40 * PAGE, 2 * PAGE, 3 * PAGE))
        .unwrap();
    write(&model, &[0x41]);
    drop(viommu);

    assert_eq!(taken(&system, &memory), [4]);
}

#[test]
fn memory_mapped_twice_is_dirty_at_both_addresses() {
    let (space, model, memory) = tracking();
    add(&space, ram(32 * PAGE, 16 * PAGE, &memory));
    write(&model, &[5]);
    space.withdraw(span(0, 16 * PAGE)).unwrap();
    let all = span(0, 64 * PAGE);
    for clear in [false, true] {
        let mut bitmap = [0];
        space.dirty_pages(all, PAGE, clear, &mut bitmap).unwrap();
        assert_eq!(bitmap, [1 << 5 | 1 << 37]);
    }

    let mut bitmap = [0];
    space.dirty_pages(all, PAGE, true, &mut bitmap).unwrap();

    assert_eq!(bitmap, [0]);
}

#[test]
fn failed_dirty_query_marks_whole_writable_mapping() {
    let (space, model, memory) = tracking();
    let read_only = Section::new(
        span(32 * PAGE, PAGE),
        SectionKind::Ram(backing(&memory)),
        Access::Read,
    )
    .unwrap();
    add(&space, read_only);
    model.fail(1);
    space.withdraw(span(0, 33 * PAGE)).unwrap();

    assert!(model.spans().is_empty());
    assert_eq!(taken(&space, &memory), Vec::from_iter(0..16));
}

#[test]
fn failed_unmap_marks_whole_mapping_dirty() {
    let (space, model, memory) = tracking();
    for page in 32..34 {
        add(&space, ram(page * PAGE, PAGE, &memory));
    }
    model.fail(0b11);
    assert!(matches!(
        space.withdraw(span(0, 16 * PAGE)),
        Err(Error::StillMapped { .. })
    ));
    assert_eq!(taken(&space, &memory), Vec::from_iter(0..16));
}

#[test]
fn failed_take_dirty_keeps_pages_for_next_call() {
    let (space, model, memory) = tracking();
    add(&space, ram(32 * PAGE, PAGE, &memory));
    write(&model, &[5, 32]);
    model.fail(0b10);

    assert!(matches!(space.take_dirty(), Err(Error::DirtyPages { .. })));
    assert_eq!(taken(&space, &memory), [0, 5]);
}

/// Returns which of the containers track dirty pages.
fn tracked(models: &[&Arc<Model>]) -> Vec<bool> {
    models
        .iter()
        .map(|model| model.tracking.load(Ordering::Relaxed))
        .collect()
}

#[test]
fn dirty_tracking_covers_all_containers_or_none() {
    let (space, first) = space();
    let second = Model::new();
    join(&space, &second);
    second.fail(1);
    let error = space.set_dirty_tracking(true).unwrap_err();

    assert_eq!(error.to_string(), "cannot start tracking dirty pages");
    assert!(
        !first.tracking.load(Ordering::Relaxed)
            && matches!(space.take_dirty(), Err(Error::DirtyPages { .. }))
    );

    space.set_dirty_tracking(true).unwrap();
    let third = Model::new();
    third.fail(1);
    let container = Arc::clone(&third) as Arc<dyn Dma>;
    assert!(matches!(
        space.join(Arc::clone(&container)),
        Err(Error::DirtyTracking { on: true, .. })
    ));

    join(&space, &third);
    assert_eq!(tracked(&[&first, &second, &third]), [true; 3]);

    space.leave(&container).unwrap();
    assert_eq!(tracked(&[&first, &second, &third]), [true, true, false]);

    second.fail(1);
    let error = space.set_dirty_tracking(false).unwrap_err();
    assert_eq!(error.to_string(), "cannot stop tracking dirty pages");
    // The first container has lost its dirty pages, so the query fails instead of returning a part.
    assert!(!first.tracking.load(Ordering::Relaxed));
    assert!(matches!(space.take_dirty(), Err(Error::DirtyPages { .. })));

    space.set_dirty_tracking(false).unwrap();
    assert_eq!(tracked(&[&first, &second]), [false; 2]);
}

#[test]
fn invalid_dirty_query_is_refused() {
    let (space, _model) = space();
    add(&space, ram(0, 4 * PAGE, &memory(4 * PAGE)));
    let error = space
        .dirty_pages(span(0, 3 * PAGE), PAGE, true, &mut [0])
        .unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    for (span, bitmap) in [
        (span(0, 65 * PAGE), [0].as_mut_slice()),
        (span(1, 4 * PAGE), [0].as_mut_slice()),
        (span(0, 1), [0].as_mut_slice()),
        (Span::ALL, [].as_mut_slice()),
    ] {
        let error = space.dirty_pages(span, PAGE, true, bitmap).unwrap_err();
        let Error::DirtyPages {
            source: container::Error::Bitmap { .. },
            ..
        } = error
        else {
            panic!("{span}: {error}")
        };
    }
}
