//! Memory whose granules are populated and discarded.

use std::sync::Arc;

use passthru_vfio::address_space::{AddressSpace, Error};
use passthru_vfio::container::Dma;

use crate::model::Model;
use crate::{PAGE, add, calls, granules, join, memory, ram, space, span, texts};

const AT: u64 = 0x1_0000_0000;
const GRANULE: u64 = 2 * PAGE;

/// Makes an address space with 8 granules, none of which is populated.
fn granule_space(model: &Arc<Model>) -> AddressSpace {
    let space = AddressSpace::default();
    join(&space, model);
    add(&space, granules(AT, &memory(8 * GRANULE), GRANULE));
    space
}

#[test]
fn populated_granules_are_separate_mappings() {
    let model = Model::new();
    let space = granule_space(&model);
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
    let model = Model::new();
    let space = granule_space(&model);
    space.populate(span(AT + GRANULE, GRANULE)).unwrap();
    model.fail(0b10);

    assert!(matches!(
        space.populate(span(AT, 4 * GRANULE)),
        Err(Error::Map { .. })
    ));

    let granule = span(AT + GRANULE, GRANULE);
    assert_eq!(model.spans(), [granule]);

    let late = Model::new();
    join(&space, &late);
    assert_eq!(late.spans(), [granule]);
}

#[test]
fn granule_limit_is_noted_and_enforced() {
    let model = Model::with_capabilities(|capabilities| capabilities.max_mappings = Some(3));
    let space = AddressSpace::default();
    join(&space, &model);
    let notes = add(&space, granules(AT, &memory(8 * GRANULE), GRANULE));

    assert!(
        texts(&notes).contains("8 mappings are needed, but the limit is 3"),
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
    add(&space, granules(AT, &memory, GRANULE));
    let mut change = space.begin();
    change
        .del(span(AT, 2 * GRANULE))
        .add(granules(AT, &memory, PAGE));
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

    let space = granule_space(&Model::new());
    assert!(matches!(
        space.populate(span(AT, PAGE)),
        Err(Error::PartialGranule {
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
    let model = Model::new();
    let space = granule_space(&model);
    space.populate(span(AT, 2 * GRANULE)).unwrap();
    model.fail(1);
    let error = space.discard(span(AT, 2 * GRANULE)).unwrap_err();

    assert!(
        matches!(&error, Error::StillMapped { ranges, .. } if ranges == &[span(AT, GRANULE)]),
        "{error}"
    );

    let container = Arc::clone(&model) as Arc<dyn Dma>;
    assert_eq!(space.mappings(&container).unwrap(), [span(AT, GRANULE)]);

    // The guest may have other pages there later, so the old mapping is replaced.
    let before = calls(&model);
    space.populate(span(AT, GRANULE)).unwrap();
    assert_eq!(calls(&model), before + 2);
    assert_eq!(model.spans(), [span(AT, GRANULE)]);
}
