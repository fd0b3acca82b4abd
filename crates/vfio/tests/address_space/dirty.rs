//! Which pages were written to, over containers that stop at the first gap between mappings, as the kernel does.

use super::model::{self, Model};
use super::*;
use passthru_vfio::address_space::Error;
use passthru_vfio::container;

/// The numbers of the pages of a span that are dirty.
fn dirty(space: &AddressSpace, span: Span, clear: bool) -> Vec<u64> {
    let mut bitmap = vec![0; (span.length() / PAGE).div_ceil(64) as usize];
    space.dirty_pages(span, PAGE, clear, &mut bitmap).unwrap();
    let is_set = |page: &u64| bitmap[*page as usize / 64] >> (page % 64) & 1 == 1;
    (0..span.length() / PAGE).filter(is_set).collect()
}

fn write(model: &Model, pages: &[u64]) {
    model.dirty.lock().unwrap().extend(pages.iter().map(|page| page * PAGE));
}

#[test]
fn pages_behind_gaps_are_told_and_count_as_clean_after() {
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
fn granules_behind_discarded_ones_are_told() {
    let (space, model) = space();
    let (all, granule) = (span(0, 8 * PAGE), 2 * PAGE);
    let kind = Kind::Granules { backing: backing(&memory(8 * PAGE)), granule };
    add(&space, Section::new(all, kind, Access::ReadWrite).unwrap());
    for at in [0, 4] {
        space.populate(span(at * PAGE, granule)).unwrap();
    }
    write(&model, &[1, 2, 5]);
    assert_eq!(dirty(&space, all, true), [1, 5]);
}

#[test]
fn all_containers_are_asked() {
    let (space, first) = space();
    let second = model::model();
    join(&space, &second);
    add(&space, ram(0, 4 * PAGE, &memory(4 * PAGE)));
    write(&first, &[1]);
    write(&second, &[3]);
    assert_eq!(dirty(&space, span(0, 4 * PAGE), true), [1, 3]);
}

#[test]
fn what_was_told_before_a_refusal_stays() {
    let (space, model) = space();
    for (at, pages) in [(0, 1), (2, 2)] {
        add(&space, ram(at * PAGE, pages * PAGE, &memory(pages * PAGE)));
    }
    write(&model, &[0, 2, 3]);
    model.fail(0b10);
    let mut bitmap = [0];
    let error = space.dirty_pages(span(0, 4 * PAGE), PAGE, true, &mut bitmap).unwrap_err();
    assert_eq!(error.to_string(), "cannot ask which pages of 0x2000-0x3fff of the guest were written to");
    // The first page of the second mapping was read before the failure.
    assert_eq!(bitmap, [0b101]);
    assert_eq!(dirty(&space, span(0, 4 * PAGE), true), [3]);
}

#[test]
fn what_cuts_a_mapping_or_a_page_or_has_too_few_bits_is_refused() {
    let (space, _model) = space();
    add(&space, ram(0, 4 * PAGE, &memory(4 * PAGE)));
    let ask = |span, bitmap: &mut [u64]| space.dirty_pages(span, PAGE, true, bitmap).unwrap_err();
    let error = ask(span(0, 3 * PAGE), &mut [0]);
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    for (span, bitmap) in [
        (span(0, 65 * PAGE), [0].as_mut_slice()),
        (span(1, 4 * PAGE), [0].as_mut_slice()),
        (span(0, 1), [0].as_mut_slice()),
        (Span::ALL, [].as_mut_slice()),
    ] {
        let error = ask(span, bitmap);
        let Error::DirtyPages { source: container::Error::Bitmap { .. }, .. } = error else {
            panic!("{span}: {error}")
        };
    }
}
