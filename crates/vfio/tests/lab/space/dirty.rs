//! Which pages were written to. The virtual host's IOMMU does not tell, so with type1 each page that is mapped counts.

use super::{Guest, PAGE, add};
use passthru_vfio::address_space::{AddressSpace, Error, Memory, Pages, Span};
use std::sync::Arc;

#[test]
fn dirty_pages_are_told_over_gaps() {
    let guest = Guest::type1();
    let space = AddressSpace::default();
    space.join(Arc::clone(&guest.container)).unwrap();
    for (at, pages) in [(16, 3), (80, 66)] {
        add(&space, at * PAGE, &Arc::new(Memory::anonymous(pages * PAGE, Pages::Base).unwrap()));
    }
    let all = Span::new(15 * PAGE, 192 * PAGE).unwrap();
    let mut bitmap = [0; 3];
    let error = space.dirty_pages(all, PAGE, true, &mut bitmap).unwrap_err();
    assert!(matches!(error, Error::DirtyPages { .. }), "{error}");
    guest.container.set_dirty_tracking(true).unwrap();
    space.dirty_pages(all, PAGE, true, &mut bitmap).unwrap();
    assert_eq!(bitmap, [0b1110, u64::MAX << 1, 0b111]);
    guest.container.set_dirty_tracking(false).unwrap();
}
