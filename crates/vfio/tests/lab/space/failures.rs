//! Failures that the kernel injects into changes. A failed change is undone, and can be repeated.

use std::num::NonZeroUsize;
use std::sync::Arc;

use passthru_lab::{Failure, HeldResources, each_failure};
use passthru_vfio::address_space::{
    AddressSpace, Backing, Error, Mapper, Memory, Note, Pages, Section, SectionKind, Sharing, Span,
    Translation, VirtualIommu,
};
use passthru_vfio::container::{Access, Dma, IommufdContainer};

use super::random::is_mapped;
use super::sharing::shared;
use super::{Guest, PAGE};
use crate::steps::{BASE, END, is_missing, pages};

/// The containers of a guest's memory: a direct one and, on iommufd, one behind a virtual IOMMU.
struct Host {
    _guest: Guest,
    direct: Arc<dyn Dma>,
    behind: Option<Arc<dyn Dma>>,
}

impl Host {
    fn iommufd() -> Self {
        let guest = Guest::iommufd();
        let context = guest.container.ioas().unwrap().context();
        let behind = Arc::new(IommufdContainer::new(context, None).unwrap());
        Self {
            direct: Arc::clone(&guest.container),
            behind: Some(behind),
            _guest: guest,
        }
    }

    fn type1() -> Self {
        let guest = Guest::type1();
        Self {
            direct: Arc::clone(&guest.container),
            behind: None,
            _guest: guest,
        }
    }

    /// Returns the pages that the kernel has mapped, in both containers.
    fn mapped(&self) -> [Vec<u64>; 2] {
        let probe = Memory::anonymous(PAGE, Pages::Base).unwrap();
        [Some(&self.direct), self.behind.as_ref()].map(|dma| {
            (0..END)
                .filter(|page| dma.is_some_and(|dma| is_mapped(&**dma, *page, &probe)))
                .collect()
        })
    }
}

/// The memory of the guest, and the memory that replaces it.
struct Memories {
    old: Arc<Memory>,
    new: Arc<Memory>,
}

impl Memories {
    fn anonymous() -> Self {
        Self::from_fn(|| Memory::anonymous(END * PAGE, Pages::Base))
    }

    fn from_fn(make: impl Fn() -> Result<Memory, Error>) -> Self {
        let [old, new] = [(); 2].map(|()| Arc::new(make().unwrap()));
        Self { old, new }
    }
}

/// A guest's memory, and a virtual IOMMU over it.
struct World<'a> {
    system: Arc<AddressSpace>,
    viommu: VirtualIommu,
    memories: &'a Memories,
    host: &'a Host,
}

impl<'a> World<'a> {
    /// Makes a guest with memory at pages 0 to 3, and with granules at 8 to 15, two of which are
    /// populated. The guest has mapped two pages of each.
    fn new(host: &'a Host, memories: &'a Memories) -> Self {
        // Failures are injected into this thread only.
        let mapper = Mapper::new(NonZeroUsize::MIN);
        let system = Arc::new(shared(Sharing::Always).with_mapper(mapper));
        let viommu = VirtualIommu::new(&system);
        let new = Self {
            system,
            viommu,
            memories,
            host,
        };
        new.system.join(Arc::clone(&host.direct)).unwrap();
        if let Some(dma) = &host.behind {
            new.viommu.space().join(Arc::clone(dma)).unwrap();
        }
        let backing = Backing {
            memory: Arc::clone(&memories.old),
            offset: 0,
        };
        let granules = SectionKind::Granules {
            backing,
            granule: PAGE,
        };
        let mut change = new.system.begin();
        change.add(Section::ram(pages(0, 4), &memories.old, 0).unwrap());
        change.add(Section::new(pages(8, 8), granules, Access::ReadWrite).unwrap());
        change.commit().unwrap();
        new.system.populate(pages(8, 2)).unwrap();
        new.viommu
            .replay([translation(0, 2, 1), translation(4, 2, 8)])
            .unwrap();
        new
    }

    fn spans(&self) -> [Vec<Span>; 2] {
        [&*self.system, self.viommu.space()]
            .map(|space| space.sections().iter().map(Section::span).collect())
    }

    fn state(&self) -> ([Vec<Span>; 2], [Vec<u64>; 2]) {
        (self.spans(), self.host.mapped())
    }
}

fn translation(at: u64, length: u64, target: u64) -> Translation {
    Translation {
        iova: pages(at, length),
        target: BASE + target * PAGE,
        access: Access::ReadWrite,
    }
}

type CommitResult = Result<Vec<Note>, Error>;

/// Runs an operation with each failure, each time in a new address space.
///
/// - If the operation fails, the mappings are as before, and a second attempt succeeds.
/// - If a section behind the virtual IOMMU could not be mapped, a note says so, and a restore maps
///   it.
/// - In the end the mappings are as without the failure, and nothing is left behind.
#[track_caller]
fn withstands(host: &Host, memories: &Memories, operation: impl Fn(&World<'_>) -> CommitResult) {
    let done = {
        let world = World::new(host, memories);
        operation(&world).unwrap();
        world.state()
    };
    let mut failed = 0;
    let injected = each_failure(passthru_lab::host(), |failure| {
        let before = HeldResources::read().unwrap();
        let world = World::new(host, memories);
        let state = world.state();
        let result = failure.during(|| operation(&world));
        match &result {
            Err(error) => {
                assert!(
                    !matches!(error, Error::Lost { .. } | Error::StillMapped { .. }),
                    "{error}"
                );
                failed += 1;
                assert_eq!(world.state(), state, "{error}");
                operation(&world).unwrap();
            }
            Ok(notes) if is_missing(notes) => {
                failed += 1;
                assert!(
                    !is_missing(&world.system.restore(Span::ALL).unwrap()),
                    "{notes:?}"
                );
            }
            Ok(_) => {}
        }
        assert_eq!(world.state(), done, "{result:?}");
        drop(world);
        assert_eq!(host.mapped(), [[0; 0]; 2], "{result:?}");
        assert_eq!(HeldResources::read().unwrap(), before, "{result:?}");
    });
    assert!(injected > 0 && failed > 0, "{failed} of {injected}");
}

/// Runs an operation that only unmaps with each failure. It succeeds, or succeeds when repeated.
#[track_caller]
fn unmaps(host: &Host, operation: impl Fn(&World<'_>) -> Result<(), Error>) {
    let memories = Memories::anonymous();
    let done = {
        let world = World::new(host, &memories);
        operation(&world).unwrap();
        world.state()
    };
    let injected = each_failure(passthru_lab::host(), |failure| {
        let before = HeldResources::read().unwrap();
        let world = World::new(host, &memories);
        let result = failure.during(|| operation(&world));
        if let Err(error) = &result {
            operation(&world).unwrap_or_else(|again| panic!("{again} after {error}"));
        }
        assert_eq!(world.state(), done, "{result:?}");
        drop(world);
        assert_eq!(host.mapped(), [[0; 0]; 2], "{result:?}");
        assert_eq!(HeldResources::read().unwrap(), before, "{result:?}");
    });
    assert!(injected > 0, "no failure was injected");
}

/// Replaces a part of the memory, and adds more elsewhere.
fn replace(world: &World<'_>) -> CommitResult {
    let mut change = world.system.begin();
    change.del(pages(0, 4));
    change.add(Section::ram(pages(2, 3), &world.memories.new, 0)?);
    change.add(Section::ram(pages(20, 4), &world.memories.new, 0)?);
    change.commit()
}

#[test]
fn failed_commit_on_iommufd_is_undone() {
    withstands(&Host::iommufd(), &Memories::anonymous(), replace);
}

#[test]
fn failed_commit_on_type1_is_undone() {
    withstands(&Host::type1(), &Memories::anonymous(), replace);
}

#[test]
fn failed_commit_of_file_memory_on_iommufd_is_undone() {
    let files = Memories::from_fn(|| Memory::memfd(END * PAGE, Pages::Base));
    withstands(&Host::iommufd(), &files, replace);
}

#[test]
fn failed_populate_leaves_granules_unchanged() {
    for host in [Host::iommufd as fn() -> Host, Host::type1] {
        withstands(&host(), &Memories::anonymous(), |world| {
            world.system.populate(pages(8, 6))
        });
    }
}

/// Runs an attempt with each failure on each backend, and checks that the mappings are as before.
///
/// The attempt returns whether its operation failed.
fn assert_restores(attempt: impl Fn(&Host, &World<'_>, &Failure) -> bool) {
    let memories = Memories::anonymous();
    for host in [Host::iommufd as fn() -> Host, Host::type1] {
        let host = host();
        let mut failed = 0;
        let injected = each_failure(passthru_lab::host(), |failure| {
            let world = World::new(&host, &memories);
            let state = world.state();
            let has_failed = attempt(&host, &world, failure);
            failed += u32::from(has_failed);
            assert_eq!(world.state(), state, "{failure:?}, failed: {has_failed}");
        });
        assert!(injected > 0 && failed > 0, "{failed} of {injected}");
    }
}

#[test]
fn failed_restore_can_be_repeated() {
    assert_restores(|_, world, failure| {
        world.system.withdraw(pages(0, 4)).unwrap();
        let result = failure.during(|| world.system.restore(pages(0, 4)));
        assert!(
            !is_missing(&world.system.restore(pages(0, 4)).unwrap()),
            "{result:?}"
        );
        !matches!(&result, Ok(notes) if !is_missing(notes))
    });
}

#[test]
fn failed_viommu_map_is_undone() {
    let host = Host::iommufd();
    // The mapping replaces another one.
    withstands(&host, &Memories::anonymous(), |world| {
        world.viommu.map(translation(0, 2, 2))
    });
    withstands(&host, &Memories::anonymous(), |world| {
        world.viommu.replay([
            translation(0, 2, 1),
            translation(2, 2, 0),
            translation(16, 1, 9),
        ])
    });
}

#[test]
fn failed_join_leaves_nothing_mapped() {
    assert_restores(|host, world, failure| {
        world.system.leave(&host.direct).unwrap();
        let result = failure.during(|| world.system.join(Arc::clone(&host.direct)));
        if result.is_err() {
            assert_eq!(host.mapped()[0], [0; 0], "{result:?}");
            world.system.join(Arc::clone(&host.direct)).unwrap();
        }
        result.is_err()
    });
}

#[test]
fn failed_unmap_succeeds_when_repeated() {
    let host = Host::iommufd();
    unmaps(&host, |world| world.viommu.unmap(Span::ALL));
    unmaps(&host, |world| world.system.withdraw(Span::ALL));
    unmaps(&host, |world| world.system.discard(pages(8, 8)));
    unmaps(&host, |world| {
        let mut change = world.system.begin();
        change.clear(Span::ALL);
        change.commit().map(|_| ())
    });
    unmaps(&host, |world| match world.system.leave(&host.direct) {
        Err(Error::NotJoined) => Ok(()),
        answer => answer,
    });
    drop(host);
    let host = Host::type1();
    unmaps(&host, |world| world.system.withdraw(Span::ALL));
    unmaps(&host, |world| world.system.discard(pages(8, 8)));
}

#[test]
fn failed_memory_allocation_leaves_nothing() {
    // Anonymous memory may never fail; a memfd does.
    let mut failed = 0;
    for make in [Memory::anonymous, Memory::memfd] {
        each_failure(passthru_lab::host(), |failure| {
            let before = HeldResources::read().unwrap();
            let memory = failure.during(|| make(4 * PAGE, Pages::Base));
            failed += u32::from(memory.is_err());
            drop((memory, make(4 * PAGE, Pages::Base).unwrap()));
            assert_eq!(HeldResources::read().unwrap(), before, "{failure:?}");
        });
    }

    assert!(failed > 0, "no allocation failed");
}
