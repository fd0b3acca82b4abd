//! What changes in the guest's memory, behind a virtual IOMMU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use passthru_vfio::address_space::{
    AddressSpace, Error, Memory, NoteKind, Section, SectionKind, Translation, VirtualIommu,
};
use passthru_vfio::container::Access;

use crate::model::{Model, Target};
use crate::{PAGE, add, backing, bar, join, memory, ram, span};

const BAR: u64 = 0xe000_0000;
const GRANULES: u64 = 1 << 32;
const IOVA: u64 = 0x10_0000;

/// A guest's memory, in a container of its own, and a virtual IOMMU over it.
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

    fn calls(&self) -> u64 {
        self.behind.calls.load(Ordering::Relaxed)
    }
}

fn mapping(length: u64, target: u64) -> Translation {
    Translation {
        iova: span(IOVA, length),
        target,
        access: Access::ReadWrite,
    }
}

fn granules(memory: &Arc<Memory>) -> Section {
    let kind = SectionKind::Granules {
        backing: backing(memory),
        granule: 2 * PAGE,
    };
    Section::new(span(GRANULES, memory.len()), kind, Access::ReadWrite).unwrap()
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
    assert_eq!(
        (guest.behind.spans(), late.spans()),
        (vec![span(IOVA, PAGE)], vec![span(IOVA, PAGE)])
    );
    guest.viommu.unmap(span(IOVA, PAGE)).unwrap();
    guest.system.withdraw(at).unwrap();
    guest.system.restore(at).unwrap();
    assert!(guest.behind.spans().is_empty());
}

#[test]
fn granule_is_unmapped_and_mapped_individually() {
    let guest = Guest::new();
    add(&guest.system, granules(&memory(8 * PAGE)));
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
    assert_eq!(
        (guest.behind.spans(), guest.calls()),
        (vec![all[0], all[2]], calls + 1)
    );
    guest.system.populate(middle).unwrap();
    assert_eq!(
        (guest.behind.spans(), guest.calls()),
        (all.to_vec(), calls + 2)
    );
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
    // Half of it comes again, and then the other half: each is mapped as it comes.
    add(&guest.system, ram(2 * PAGE, PAGE, &new));
    assert_eq!(guest.behind.spans(), [span(IOVA + PAGE, PAGE)]);
    assert_eq!(guest.behind.at(IOVA + PAGE), guest.direct.at(2 * PAGE));
    add(&guest.system, ram(0, 2 * PAGE, &new));
    assert_eq!(
        guest.behind.at(IOVA),
        Some(Target::Address(new.address().unwrap() as u64 + PAGE))
    );
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
    assert_eq!(
        (guest.calls(), guest.behind.spans()),
        (calls, vec![span(IOVA, 2 * PAGE)])
    );
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
    assert!(
        matches!(&note.kind, NoteKind::BehindViommu(inner) if matches!(inner.kind, NoteKind::NotMapped(_)))
    );
    assert_eq!(
        note.to_string(),
        "of what leads to 0x1000-0x1fff behind a virtual IOMMU: \
         devices do not reach 0x100000-0x100fff: cannot map 0x100000-0x100fff of the guest: \
         cannot map 0x1000 bytes at IOVA 0x100000 (VFIO_IOMMU_MAP_DMA): Cannot allocate memory (os error 12)"
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
    // Its mapping may have been emptied meanwhile.
    let calls = guest.calls();
    guest.system.restore(span(BAR, 2 * PAGE)).unwrap();
    assert_eq!(
        (guest.calls(), guest.behind.spans()),
        (calls + 2, vec![span(IOVA, PAGE)])
    );
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
    let overlapping = [
        mapping(2 * PAGE, 0),
        Translation {
            iova: span(IOVA + PAGE, PAGE),
            ..mapping(PAGE, 0)
        },
    ];
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
    let calls = behind.calls.load(Ordering::Relaxed);
    system.withdraw(span(0, PAGE)).unwrap();
    assert_eq!(
        (behind.calls.load(Ordering::Relaxed), behind.spans()),
        (calls, vec![])
    );
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
        // A container that comes and goes meanwhile.
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
    assert_eq!(
        (guest.behind.spans(), other.spans()),
        (vec![], vec![span(IOVA, PAGE)])
    );
    let late = Model::new();
    join(guest.viommu.space(), &late);
    assert_eq!(late.spans(), [span(IOVA, PAGE)]);
    // The same section anew is a change there too.
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
    let [here, gone] = [(IOVA, 0), (IOVA + PAGE, PAGE)].map(|(iova, target)| Translation {
        iova: span(iova, PAGE),
        target,
        access: Access::ReadWrite,
    });
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
