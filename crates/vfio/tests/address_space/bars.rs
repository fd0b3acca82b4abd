//! BARs: withdrawn, restored, and impossible to map.

use passthru_vfio::address_space::Error;

use crate::model::Model;
use crate::{PAGE, add, bar, calls, join, memory, space, span, texts};

#[test]
fn withdrawn_section_readded_stays_withdrawn_and_noted() {
    let (space, model) = space();
    let memory = memory(PAGE);
    add(&space, bar(0, PAGE, &memory));
    space.withdraw(span(0, PAGE)).unwrap();
    let mut change = space.begin();
    change.del(span(0, PAGE)).add(bar(0, PAGE, &memory));
    let notes = change.commit().unwrap();

    assert_eq!(
        texts(&notes),
        "devices do not reach 0x0-0xfff until it is restored\n"
    );
    assert!(model.spans().is_empty());

    space.restore(span(0, PAGE)).unwrap();
    assert_eq!(model.spans(), [span(0, PAGE)]);
}

#[test]
fn unmappable_bar_is_noted_and_retried_by_restore() {
    let (space, model) = space();
    let memory = memory(PAGE);
    model.fail(1);
    let notes = add(&space, bar(0xe000_0000, PAGE, &memory));

    assert!(
        texts(&notes).contains("reach 0xe0000000"),
        "{}",
        texts(&notes)
    );
    assert!(model.spans().is_empty());
    assert_eq!(texts(&space.restore(span(0xe000_0000, PAGE)).unwrap()), "");
    assert_eq!(model.spans(), [span(0xe000_0000, PAGE)]);
}

#[test]
fn withdrawn_bar_returns_when_restored() {
    let (space, model) = space();
    let at = span(0xe000_0000, PAGE);
    add(&space, bar(at.start(), PAGE, &memory(PAGE)));
    space.withdraw(at).unwrap();

    assert!(model.spans().is_empty());

    let late = Model::new();
    join(&space, &late);
    assert!(late.spans().is_empty());

    space.restore(at).unwrap();
    assert_eq!(model.spans(), [at]);
    assert_eq!(late.spans(), [at]);
}

#[test]
fn bar_that_failed_to_unmap_is_remapped_by_restore() {
    let (space, model) = space();
    let at = span(0xe000_0000, PAGE);
    add(&space, bar(at.start(), PAGE, &memory(PAGE)));
    model.fail(1);

    assert!(matches!(space.withdraw(at), Err(Error::StillMapped { .. })));

    // A reset may have emptied the mapping, so it is unmapped and mapped again.
    let before = calls(&model);
    space.restore(at).unwrap();
    assert_eq!(calls(&model), before + 2);
    assert_eq!(model.spans(), [at]);
}
