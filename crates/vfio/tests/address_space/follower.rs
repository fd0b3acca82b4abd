//! Changes of the guest's memory, as devices behind a virtual IOMMU see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use passthru_vfio::address_space::{
    AddressSpace, Error, NoteKind, Section, Translation, VirtualIommu,
};

use crate::model::Model;
use crate::{PAGE, add, address, bar, calls, granules, join, memory, ram, span, translation};

const BAR: u64 = 0xe000_0000;
const GRANULES: u64 = 1 << 32;
const IOVA: u64 = 0x10_0000;

/// A guest's memory in a container, and a virtual IOMMU over it with a container.
struct Guest {
    system: Arc<AddressSpace>,
    viommu: VirtualIommu,
    direct: Arc<Model>,
    behind: Arc<Model>,
}

impl Guest {
    fn new() -> Self {
        let system = Arc::new(AddressSpace::default());
        let viommu = VirtualIommu::new(&system);
        let direct = Model::new();
        let behind = Model::new();
        join(&system, &direct);
        join(viommu.space(), &behind);
        Self {
            system,
            viommu,
            direct,
            behind,
        }
    }

    fn map(&self, length: u64, target: u64) {
        self.viommu.map(mapping(length, target)).unwrap();
    }

    /// Returns the number of calls to the container behind the virtual IOMMU.
    fn calls(&self) -> u64 {
        calls(&self.behind)
    }
}

fn mapping(length: u64, target: u64) -> Translation {
    translation(IOVA, length, target)
}

#[test]
fn withdrawn_bar_is_unreachable_whatever_the_guest_maps() {
    let guest = Guest::new();
    let at = span(BAR, PAGE);
    add(&guest.system, bar(BAR, PAGE, &memory(PAGE)));
    guest.map(PAGE, BAR);

    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);

    guest.system.withdraw(at).unwrap();
    assert!(guest.behind.spans().is_empty());

    guest.map(PAGE, BAR);
    guest.viommu.replay([mapping(PAGE, BAR)]).unwrap();
    let late = Model::new();
    join(guest.viommu.space(), &late);
    assert!(guest.behind.spans().is_empty() && late.spans().is_empty());

    guest.system.restore(at).unwrap();
    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);
    assert_eq!(late.spans(), [span(IOVA, PAGE)]);

    guest.viommu.unmap(span(IOVA, PAGE)).unwrap();
    guest.system.withdraw(at).unwrap();
    guest.system.restore(at).unwrap();
    assert!(guest.behind.spans().is_empty());
}

#[test]
fn granule_is_unmapped_and_mapped_individually() {
    let guest = Guest::new();
    add(
        &guest.system,
        granules(GRANULES, &memory(8 * PAGE), 2 * PAGE),
    );
    guest.system.populate(span(GRANULES, 6 * PAGE)).unwrap();
    guest.map(5 * PAGE, GRANULES + PAGE);
    let all = [
        span(IOVA, PAGE),
        span(IOVA + PAGE, 2 * PAGE),
        span(IOVA + 3 * PAGE, 2 * PAGE),
    ];

    assert_eq!(guest.behind.spans(), all);

    let calls = guest.calls();
    let middle = span(GRANULES + 2 * PAGE, 2 * PAGE);
    guest.system.discard(middle).unwrap();
    assert_eq!(guest.behind.spans(), [all[0], all[2]]);
    assert_eq!(guest.calls(), calls + 1);

    guest.system.populate(middle).unwrap();
    assert_eq!(guest.behind.spans(), all);
    assert_eq!(guest.calls(), calls + 2);

    guest.viommu.unmap(span(IOVA, 5 * PAGE)).unwrap();
    assert!(guest.behind.spans().is_empty());
}

#[test]
fn deleted_section_is_unmapped_and_new_one_mapped() {
    let guest = Guest::new();
    let old = memory(4 * PAGE);
    let new = memory(4 * PAGE);
    add(&guest.system, ram(0, 4 * PAGE, &old));
    guest.map(2 * PAGE, PAGE);
    let mut change = guest.system.begin();
    change.del(span(0, 4 * PAGE));
    change.commit().unwrap();

    assert!(guest.behind.spans().is_empty() && guest.direct.spans().is_empty());
    assert_eq!(Arc::strong_count(&old), 1);

    // Each half is mapped as soon as its section is added.
    add(&guest.system, ram(2 * PAGE, PAGE, &new));
    assert_eq!(guest.behind.spans(), [span(IOVA + PAGE, PAGE)]);
    assert_eq!(guest.behind.at(IOVA + PAGE), guest.direct.at(2 * PAGE));

    add(&guest.system, ram(0, 2 * PAGE, &new));
    assert_eq!(guest.behind.at(IOVA), address(&new, PAGE));
}

#[test]
fn unchanged_part_of_split_section_stays_mapped() {
    let guest = Guest::new();
    let memory = memory(8 * PAGE);
    add(&guest.system, ram(0, 8 * PAGE, &memory));
    guest.map(2 * PAGE, PAGE);
    let calls = guest.calls();
    let mut change = guest.system.begin();
    change.del(span(0, 8 * PAGE)).add(ram(0, 4 * PAGE, &memory));
    change.add(bar(4 * PAGE, PAGE, &crate::memory(PAGE)));
    change.add(Section::ram(span(5 * PAGE, 3 * PAGE), &memory, 5 * PAGE).unwrap());
    change.commit().unwrap();

    assert_eq!(guest.calls(), calls);
    assert_eq!(guest.behind.spans(), [span(IOVA, 2 * PAGE)]);
}

#[test]
fn failed_map_behind_viommu_is_noted_and_retried() {
    let guest = Guest::new();
    add(&guest.system, ram(0, 2 * PAGE, &memory(2 * PAGE)));
    guest.map(PAGE, PAGE);
    guest.system.withdraw(span(0, 2 * PAGE)).unwrap();
    guest.behind.fail(1);
    let notes = guest.system.restore(span(0, 2 * PAGE)).unwrap();
    let [note] = &notes[..] else {
        panic!("{notes:?}")
    };
    let NoteKind::BehindViommu(inner) = &note.kind else {
        panic!("{note}")
    };

    assert!(matches!(inner.kind, NoteKind::NotMapped(_)));
    assert_eq!(
        note.to_string(),
        "behind a virtual IOMMU, in mappings of 0x1000-0x1fff: \
         devices do not reach 0x100000-0x100fff: cannot map 0x100000-0x100fff of the guest: \
         cannot map 0x1000 bytes at IOVA 0x100000 (VFIO_IOMMU_MAP_DMA): \
         Cannot allocate memory (os error 12)"
    );
    assert_eq!(guest.direct.spans(), [span(0, 2 * PAGE)]);
    assert!(guest.behind.spans().is_empty());
    assert!(guest.system.restore(span(0, 2 * PAGE)).unwrap().is_empty());
    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);
}

#[test]
fn failed_unmap_behind_viommu_names_guest_address() {
    let guest = Guest::new();
    add(&guest.system, bar(BAR, 2 * PAGE, &memory(2 * PAGE)));
    guest.map(PAGE, BAR + PAGE);
    guest.behind.fail(1);
    let error = guest.system.withdraw(span(BAR, 2 * PAGE)).unwrap_err();

    assert!(
        matches!(&error, Error::StillMapped { ranges, .. } if ranges == &[span(BAR + PAGE, PAGE)]),
        "{error}"
    );
    assert!(guest.direct.spans().is_empty());

    // A reset may have emptied the mapping, so it is unmapped and mapped again.
    let calls = guest.calls();
    guest.system.restore(span(BAR, 2 * PAGE)).unwrap();
    assert_eq!(guest.calls(), calls + 2);
    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);
}

#[test]
fn cut_or_overlap_is_refused_without_target_memory() {
    let guest = Guest::new();
    add(&guest.system, ram(0, 4 * PAGE, &memory(4 * PAGE)));
    guest.map(2 * PAGE, 0);
    guest.system.withdraw(span(0, 4 * PAGE)).unwrap();

    assert!(matches!(
        guest.viommu.unmap(span(IOVA, PAGE)),
        Err(Error::Cut { .. })
    ));

    let overlapping = [mapping(2 * PAGE, 0), translation(IOVA + PAGE, PAGE, 0)];
    assert!(matches!(
        guest.viommu.replay(overlapping),
        Err(Error::Overlap { .. })
    ));

    guest.system.restore(span(0, 4 * PAGE)).unwrap();
    assert_eq!(guest.behind.spans(), [span(IOVA, 2 * PAGE)]);
}

#[test]
fn dropped_viommu_is_not_called() {
    let Guest {
        system,
        viommu,
        behind,
        ..
    } = Guest::new();
    add(&system, ram(0, PAGE, &memory(PAGE)));
    viommu.map(mapping(PAGE, 0)).unwrap();
    drop(viommu);
    let before = calls(&behind);
    system.withdraw(span(0, PAGE)).unwrap();

    assert_eq!(calls(&behind), before);
    assert!(behind.spans().is_empty());
}

#[test]
fn withdrawn_bar_stays_unreachable_while_guests_map() {
    let system = Arc::new(AddressSpace::default());
    add(&system, bar(BAR, PAGE, &memory(PAGE)));
    add(&system, ram(0, PAGE, &memory(PAGE)));
    let models = [Model::new(), Model::new()];
    let viommus = models.each_ref().map(|model| {
        let viommu = VirtualIommu::new(&system);
        join(viommu.space(), model);
        viommu
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for viommu in &viommus {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    viommu.map(mapping(PAGE, BAR)).unwrap();
                    viommu.replay([mapping(PAGE, BAR)]).unwrap();
                    viommu.unmap(span(IOVA, PAGE)).unwrap();
                }
            });
        }
        // Another container joins and leaves meanwhile.
        scope.spawn(|| {
            let late = Model::new();
            while !done.load(Ordering::Relaxed) {
                join(viommus[0].space(), &late);
                viommus[0].space().leave(&(Arc::clone(&late) as _)).unwrap();
            }
        });
        let reached = (0..500).any(|_| {
            system.withdraw(span(BAR, PAGE)).unwrap();
            let reached = (0..5).any(|_| models.iter().any(|model| !model.spans().is_empty()));
            system.restore(span(BAR, PAGE)).unwrap();
            reached
        });
        done.store(true, Ordering::Relaxed);
        assert!(!reached);
    });
}

#[test]
fn failed_map_in_one_container_spares_others() {
    let guest = Guest::new();
    let other = Model::new();
    join(guest.viommu.space(), &other);
    let memory = memory(2 * PAGE);
    add(&guest.system, ram(0, 2 * PAGE, &memory));
    guest.map(PAGE, PAGE);
    guest.system.withdraw(span(0, 2 * PAGE)).unwrap();
    guest.behind.fail(1);

    assert_eq!(guest.system.restore(span(0, 2 * PAGE)).unwrap().len(), 1);
    assert!(guest.behind.spans().is_empty());
    assert_eq!(other.spans(), [span(IOVA, PAGE)]);

    let late = Model::new();
    join(guest.viommu.space(), &late);
    assert_eq!(late.spans(), [span(IOVA, PAGE)]);

    // The same section added again maps what is missing.
    let mut change = guest.system.begin();
    change.del(span(0, 2 * PAGE)).add(ram(0, 2 * PAGE, &memory));
    assert!(change.commit().unwrap().is_empty());
    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);
}

#[test]
fn repeated_mapping_without_target_is_accepted() {
    let guest = Guest::new();
    add(&guest.system, ram(0, PAGE, &memory(PAGE)));
    add(&guest.system, ram(PAGE, PAGE, &memory(PAGE)));
    let here = translation(IOVA, PAGE, 0);
    let gone = translation(IOVA + PAGE, PAGE, PAGE);
    guest.viommu.replay([here, gone]).unwrap();
    let mut change = guest.system.begin();
    change.del(span(PAGE, PAGE));
    change.commit().unwrap();

    assert!(guest.viommu.map(gone).unwrap().is_empty());
    assert!(guest.viommu.replay([here, gone]).unwrap().is_empty());
    assert_eq!(guest.behind.spans(), [span(IOVA, PAGE)]);

    guest.viommu.unmap(span(IOVA, 2 * PAGE)).unwrap();
    assert!(matches!(
        guest.viommu.map(gone),
        Err(Error::Untranslated { .. })
    ));
}
