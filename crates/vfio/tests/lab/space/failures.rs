//! Failures that the kernel injects: a change that meets one is taken back, and can be made after.

use super::random::is_mapped;
use super::{Guest, PAGE};
use crate::steps::{END, pages};
use passthru_lab::{Held, each_failure};
use passthru_vfio::address_space::{
    AddressSpace, Backing, Error, Kind, Mapper, Memory, Pages, Section, Span,
};
use passthru_vfio::container::Access;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// An operation meets each failure in an address space of its own: when it fails, the kernel has what it had, and when it
/// is done again, it succeeds. BARs can be missing.
#[track_caller]
fn withstands(guest: &Guest, operation: impl Fn(&AddressSpace, &Memories) -> Result<(), Error>) {
    let memories = Memories::new();
    let mut failed = 0;
    let injected = each_failure(passthru_lab::host(), |failure| {
        let before = Held::now().unwrap();
        // Failures are of this thread alone.
        let space = AddressSpace::default().with_mapper(Mapper::new(NonZeroUsize::MIN));
        space.join(Arc::clone(&guest.container)).unwrap();
        memories.fill(&space);
        let (sections, mapped) = (spans(&space), mapped(guest));
        let result = failure.during(|| operation(&space, &memories));
        if let Err(error) = &result {
            assert!(!matches!(error, Error::Lost { .. } | Error::StillMapped { .. }), "{error}");
            failed += 1;
            assert_eq!((spans(&space), self::mapped(guest)), (sections, mapped), "{error}");
            operation(&space, &memories).unwrap();
        }
        drop(space);
        assert_eq!(self::mapped(guest), [] as [u64; 0], "{:?}", result.err());
        assert_eq!(Held::now().unwrap(), before, "{:?}", result.err());
    });
    assert!(injected > 0 && failed > 0, "{failed} of {injected}");
}

fn spans(space: &AddressSpace) -> Vec<Span> {
    space.sections().iter().map(Section::span).collect()
}

/// The pages that the kernel has mapped.
fn mapped(guest: &Guest) -> Vec<u64> {
    let probe = Memory::anonymous(PAGE, Pages::Base).unwrap();
    (0..END).filter(|page| is_mapped(&*guest.container, *page, &probe)).collect()
}

/// What was there, and what takes its place.
struct Memories {
    old: Arc<Memory>,
    new: Arc<Memory>,
}

impl Memories {
    fn new() -> Self {
        let memory = || Arc::new(Memory::anonymous(END * PAGE, Pages::Base).unwrap());
        Self { old: memory(), new: memory() }
    }

    /// Pages 0 to 3 are memory, and 8 to 15 granules, of which there are two.
    fn fill(&self, space: &AddressSpace) {
        let backing = Backing { memory: Arc::clone(&self.old), offset: 0 };
        let granules = Kind::Granules { backing, granule: PAGE };
        let mut change = space.begin();
        change.add(Section::ram(pages(0, 4), &self.old, 0).unwrap());
        change.add(Section::new(pages(8, 8), granules, Access::ReadWrite).unwrap());
        change.commit().unwrap();
        space.populate(pages(8, 2)).unwrap();
    }
}

/// New memory takes the place of old memory, in part, and more comes elsewhere.
fn replace(space: &AddressSpace, memories: &Memories) -> Result<(), Error> {
    let mut change = space.begin();
    change.del(pages(0, 4));
    change.add(Section::ram(pages(2, 3), &memories.new, 0)?).add(Section::ram(
        pages(20, 4),
        &memories.new,
        0,
    )?);
    change.commit().map(|_| ())
}

fn populate(space: &AddressSpace, _: &Memories) -> Result<(), Error> {
    space.populate(pages(8, 6)).map(|_| ())
}

#[test]
fn a_change_is_taken_back_wherever_iommufd_fails() {
    withstands(&Guest::iommufd(), replace);
}

#[test]
fn a_change_is_taken_back_wherever_type1_fails() {
    withstands(&Guest::type1(), replace);
}

#[test]
fn granules_are_as_before_wherever_either_backend_fails() {
    withstands(&Guest::iommufd(), populate);
    withstands(&Guest::type1(), populate);
}
