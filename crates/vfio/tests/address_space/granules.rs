//! Memory that comes and goes in granules.

use crate::model::{self, Model};
use crate::{PAGE, add, backing, join, memory, ram, space, span, texts};
use passthru_vfio::address_space::{AddressSpace, Error, Kind, Section};
use passthru_vfio::container::{Access, Dma};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const AT: u64 = 0x1_0000_0000;
const GRANULE: u64 = 2 * PAGE;

/// An address space with 8 granules, none of them populated.
fn granules(model: &Arc<Model>) -> AddressSpace {
    let space = AddressSpace::default();
    join(&space, model);
    let kind = Kind::Granules {
        backing: backing(&memory(8 * GRANULE)),
        granule: GRANULE,
    };
    add(
        &space,
        Section::new(span(AT, 8 * GRANULE), kind, Access::ReadWrite).unwrap(),
    );
    space
}

#[test]
fn populated_granules_are_separate_mappings() {
    let model = model::model();
    let space = granules(&model);
    assert!(model.spans().is_empty());
    space.populate(span(AT, 4 * GRANULE)).unwrap();
    assert_eq!(model.spans().len(), 4);
    space.discard(span(AT + GRANULE, GRANULE)).unwrap();
    space.populate(span(AT, 2 * GRANULE)).unwrap();
    space.discard(span(AT, 3 * GRANULE)).unwrap();
    assert_eq!(model.spans(), [span(AT + 3 * GRANULE, GRANULE)]);
    space.discard(span(AT, GRANULE)).unwrap();
}

#[test]
fn failed_populate_changes_nothing() {
    let model = model::model();
    let space = granules(&model);
    space.populate(span(AT + GRANULE, GRANULE)).unwrap();
    model.fail(0b10);
    assert!(matches!(
        space.populate(span(AT, 4 * GRANULE)),
        Err(Error::Map { .. })
    ));
    let granule = span(AT + GRANULE, GRANULE);
    assert_eq!(model.spans(), [granule]);
    let late = model::model();
    join(&space, &late);
    assert_eq!(late.spans(), [granule]);
}

#[test]
fn granule_limit_is_noted_and_enforced() {
    let model = model::with(|capabilities| capabilities.max_mappings = Some(3));
    let space = AddressSpace::default();
    join(&space, &model);
    let kind = Kind::Granules {
        backing: backing(&memory(8 * GRANULE)),
        granule: GRANULE,
    };
    let notes = add(
        &space,
        Section::new(span(AT, 8 * GRANULE), kind, Access::ReadWrite).unwrap(),
    );
    assert!(
        texts(&notes).contains("would need 8 mappings, but the limit is 3"),
        "{}",
        texts(&notes)
    );
    space.populate(span(AT, 3 * GRANULE)).unwrap();
    let error = space.populate(span(AT + 4 * GRANULE, GRANULE)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooManyMappings {
                needed: 4,
                limit: 3
            }
        ),
        "{error}"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("granules")));
    space.discard(span(AT, GRANULE)).unwrap();
    space.populate(span(AT + 4 * GRANULE, GRANULE)).unwrap();
}

#[test]
fn granule_size_can_be_changed() {
    let (space, _) = space();
    let memory = memory(2 * GRANULE);
    let of = |granule| {
        let kind = Kind::Granules {
            backing: backing(&memory),
            granule,
        };
        Section::new(span(AT, 2 * GRANULE), kind, Access::ReadWrite).unwrap()
    };
    add(&space, of(GRANULE));
    let mut change = space.begin();
    change.del(span(AT, 2 * GRANULE)).add(of(PAGE));
    change.commit().unwrap();
    space.populate(span(AT, PAGE)).unwrap();
}

#[test]
fn partial_granules_are_refused() {
    let (space, _) = space();
    add(&space, ram(0, PAGE, &memory(PAGE)));
    assert!(matches!(
        space.populate(span(0, PAGE)),
        Err(Error::NotGranules { .. })
    ));
    assert!(matches!(
        space.discard(span(AT, PAGE)),
        Err(Error::NotGranules { .. })
    ));
    let space = granules(&model::model());
    assert!(matches!(
        space.populate(span(AT, PAGE)),
        Err(Error::Granule {
            granule: GRANULE,
            ..
        })
    ));
    assert!(matches!(
        space.discard(span(AT + 7 * GRANULE, 2 * GRANULE)),
        Err(Error::NotGranules { .. })
    ));
}

#[test]
fn failed_discard_names_granule_and_keeps_memory() {
    let model = model::model();
    let space = granules(&model);
    space.populate(span(AT, 2 * GRANULE)).unwrap();
    model.fail(1);
    let error = space.discard(span(AT, 2 * GRANULE)).unwrap_err();
    assert!(
        matches!(&error, Error::StillMapped { ranges, .. } if ranges == &[span(AT, GRANULE)]),
        "{error}"
    );
    let container = Arc::clone(&model) as Arc<dyn Dma>;
    assert_eq!(space.mappings(&container).unwrap(), [span(AT, GRANULE)]);
    // The guest may have other pages there later, so what is mapped still makes room for them.
    let before = model.calls.load(Ordering::Relaxed);
    space.populate(span(AT, GRANULE)).unwrap();
    assert_eq!(
        (model.calls.load(Ordering::Relaxed), model.spans()),
        (before + 2, vec![span(AT, GRANULE)])
    );
}
