//! A device behind a virtual IOMMU.

use crate::model::{self, Target};
use crate::{PAGE, add, backing, bar, join, memory, ram, span};
use passthru_vfio::address_space::{
    AddressSpace, Error, Kind, Memory, Section, Span, Translation, VirtualIommu,
};
use passthru_vfio::container::Access;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A guest with memory at 0, more at 0x10_0000, and a BAR at 0xe000_0000.
fn guest() -> (Arc<AddressSpace>, [Arc<Memory>; 3]) {
    let system = Arc::new(AddressSpace::default());
    let memories = [memory(4 * PAGE), memory(4 * PAGE), memory(PAGE)];
    add(&system, ram(0, 4 * PAGE, &memories[0]));
    add(&system, ram(4 * PAGE, 4 * PAGE, &memories[1]));
    add(&system, bar(0xe000_0000, PAGE, &memories[2]));
    (system, memories)
}

fn viommu(system: &Arc<AddressSpace>) -> VirtualIommu {
    VirtualIommu::new(system)
}

fn mapping(iova: u64, length: u64, target: u64) -> Translation {
    Translation {
        iova: span(iova, length),
        target,
        access: Access::ReadWrite,
    }
}

fn address(memory: &Memory, offset: u64) -> Option<Target> {
    Some(Target::Address(memory.address().unwrap() as u64 + offset))
}

#[test]
fn viommu_mapping_spans_several_sections() {
    let (system, [low, high, _]) = guest();
    let (viommu, model) = (viommu(&system), model::model());
    join(viommu.space(), &model);
    viommu
        .map(mapping(0x4000_0000, 4 * PAGE, 2 * PAGE))
        .unwrap();
    assert_eq!(model.at(0x4000_0000), address(&low, 2 * PAGE));
    assert_eq!(model.at(0x4000_2000), address(&high, 0));
    viommu.unmap(span(0x4000_0000, 4 * PAGE)).unwrap();
    assert!(model.spans().is_empty());
}

#[test]
fn viommu_mapping_without_memory_is_refused() {
    let (system, _) = guest();
    let viommu = viommu(&system);
    let error = viommu.map(mapping(0, 2 * PAGE, 7 * PAGE)).unwrap_err();
    assert!(
        matches!(error, Error::Untranslated { target, .. } if target == span(7 * PAGE, 2 * PAGE)),
        "{error}"
    );

    let kind = Kind::Granules {
        backing: backing(&memory(2 * PAGE)),
        granule: PAGE,
    };
    add(
        &system,
        Section::new(span(0x100_0000, 2 * PAGE), kind, Access::ReadWrite).unwrap(),
    );
    system.populate(span(0x100_0000, PAGE)).unwrap();
    viommu.map(mapping(0, PAGE, 0x100_0000)).unwrap();
    assert!(matches!(
        viommu.map(mapping(0, PAGE, 0x100_1000)),
        Err(Error::Untranslated { .. })
    ));
}

#[test]
fn viommu_mapping_replaces_former_and_repeats_freely() {
    let (system, [low, ..]) = guest();
    let (viommu, model) = (viommu(&system), model::model());
    join(viommu.space(), &model);
    viommu.map(mapping(0x8000, PAGE, 0)).unwrap();
    let calls = model.calls.load(Ordering::Relaxed);
    viommu.map(mapping(0x8000, PAGE, 0)).unwrap();
    assert_eq!(model.calls.load(Ordering::Relaxed), calls);
    viommu.map(mapping(0x8000, PAGE, PAGE)).unwrap();
    assert_eq!(model.at(0x8000), address(&low, PAGE));
}

#[test]
fn viommu_unmap_spans_gaps_but_cuts_nothing() {
    let (system, _) = guest();
    let (viommu, model) = (viommu(&system), model::model());
    join(viommu.space(), &model);
    viommu.map(mapping(0x1_0000, PAGE, 0)).unwrap();
    viommu.map(mapping(0x8_0000, 2 * PAGE, 0)).unwrap();
    assert!(matches!(
        viommu.unmap(span(0, 0x8_1000)),
        Err(Error::Cut { .. })
    ));
    assert_eq!(model.spans().len(), 2);
    viommu.unmap(Span::ALL).unwrap();
    viommu.unmap(Span::ALL).unwrap();
    assert!(model.spans().is_empty());
}

#[test]
fn replay_replaces_all_mappings_also_for_late_container() {
    let (system, [low, ..]) = guest();
    let (viommu, model, late) = (viommu(&system), model::model(), model::model());
    join(viommu.space(), &model);
    viommu.map(mapping(0x1_0000, PAGE, 0)).unwrap();
    viommu.map(mapping(0x2_0000, PAGE, PAGE)).unwrap();
    let calls = model.calls.load(Ordering::Relaxed);
    viommu
        .replay([
            mapping(0x2_0000, PAGE, PAGE),
            mapping(0x3_0000, PAGE, 2 * PAGE),
        ])
        .unwrap();
    assert_eq!(model.calls.load(Ordering::Relaxed), calls + 2);
    assert_eq!(model.spans(), [span(0x2_0000, PAGE), span(0x3_0000, PAGE)]);
    join(viommu.space(), &late);
    assert_eq!(late.mappings(), model.mappings());
    assert_eq!(late.at(0x3_0000), address(&low, 2 * PAGE));
}

#[test]
fn unmappable_bar_behind_viommu_is_noted() {
    let (system, _) = guest();
    let (viommu, model) = (viommu(&system), model::model());
    join(viommu.space(), &model);
    model.fail(1);
    assert_eq!(viommu.map(mapping(0, PAGE, 0xe000_0000)).unwrap().len(), 1);
}

#[test]
fn viommu_access_is_limited_by_mapping_and_memory() {
    let (system, _) = guest();
    let read_only = Section::new(
        span(0x100_0000, PAGE),
        Kind::Ram(backing(&memory(PAGE))),
        Access::Read,
    )
    .unwrap();
    add(&system, read_only);
    let (viommu, model) = (viommu(&system), model::model());
    join(viommu.space(), &model);
    viommu.map(mapping(0, PAGE, 0x100_0000)).unwrap();
    viommu
        .map(Translation {
            access: Access::Read,
            ..mapping(0x1000, PAGE, 0)
        })
        .unwrap();
    viommu
        .map(Translation {
            access: Access::Write,
            ..mapping(0x2000, PAGE, 0x100_0000)
        })
        .unwrap();
    assert_eq!(model.spans(), [span(0, PAGE), span(0x1000, PAGE)]);
    assert!(
        model
            .mappings()
            .values()
            .all(|(.., access)| *access == Access::Read),
        "{model:?}"
    );
}
