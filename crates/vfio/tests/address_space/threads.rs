//! Mapping from several threads, its progress and its cancellation.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use passthru_vfio::address_space::{
    AddressSpace, Error, Mapper, Memory, Pages, Phase, Progress, Section, Span, Translation,
    VirtualIommu,
};
use passthru_vfio::container::{Access, Dma};

use crate::model::Model;
use crate::{memory, ram, span};

const LENGTH: u64 = 256 << 20;
const HALF: u64 = LENGTH / 2;

/// Makes an address space that maps with four threads.
fn four_threads() -> AddressSpace {
    AddressSpace::default().with_mapper(Mapper::new(NonZeroUsize::new(4).unwrap()))
}

/// Makes a large section of a file without an address, so that no pages are populated.
fn large() -> (Arc<Memory>, Section) {
    let fd = rustix::fs::memfd_create("large", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let memory = Arc::new(Memory::from_file(fd, 0, LENGTH, Box::new(())));
    (Arc::clone(&memory), ram(1 << 32, LENGTH, &memory))
}

/// Joins a new container.
fn joined(space: &AddressSpace) -> Arc<Model> {
    let model = Model::new();
    space.join(Arc::clone(&model) as Arc<dyn Dma>).unwrap();
    model
}

#[test]
fn large_memory_is_mapped_and_unmapped_in_parts() {
    let space = four_threads();
    let model = joined(&space);
    let (_memory, section) = large();
    let mut change = space.begin();
    change.add(section);
    change.commit().unwrap();
    let mapped = model.spans();

    assert!(mapped.len() >= 4, "{mapped:?}");

    let bytes: u64 = mapped.iter().map(|part| part.length()).sum();
    assert_eq!(bytes, LENGTH);

    let mut change = space.begin();
    change.del(span(1 << 32, LENGTH));
    change.commit().unwrap();
    assert!(model.spans().is_empty());
}

#[test]
fn failed_part_undoes_all_parts() {
    let space = four_threads();
    let model = joined(&space);
    let (memory, section) = large();
    for round in 0..200 {
        let mut change = space.begin();
        change.add(section.clone());
        model.fail(1 << (round % 4));
        assert!(matches!(change.commit(), Err(Error::Map { .. })), "{round}");
        model.fail(0);
        assert!(model.spans().is_empty(), "{round}: {model:?}");
    }

    drop(section);

    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn progress_reaches_total_and_can_cancel() {
    let space = four_threads();
    let model = joined(&space);
    let memory = memory(128 << 20);
    let section = ram(1 << 32, 128 << 20, &memory);
    let seen = Mutex::new(Vec::new());
    let mut change = space.begin();
    change.add(section.clone());
    change
        .commit_with(&|progress| {
            seen.lock().unwrap().push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    let seen = seen.into_inner().unwrap();
    for phase in [Phase::Populate, Phase::Map] {
        let reports: Vec<_> = seen
            .iter()
            .filter(|progress| progress.phase == phase)
            .collect();
        let done = reports.iter().map(|progress| progress.done).max();
        assert_eq!(done, Some(128 << 20), "{reports:?}");
        assert!(reports.iter().all(|progress| progress.total == 128 << 20));
    }

    let mut change = space.begin();
    change
        .del(section.span())
        .add(ram(1 << 33, 128 << 20, &memory));
    let error = change.commit_with(&|progress| match progress.phase {
        Phase::Map => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });

    assert!(matches!(error, Err(Error::Cancelled)));
    assert!(
        model
            .spans()
            .iter()
            .all(|part| section.span().contains(*part))
    );
}

#[test]
fn pages_are_populated_before_old_mappings_go() {
    let space = four_threads();
    let model = joined(&space);
    let old = memory(0x1000);
    let new = memory(128 << 20);
    let mut change = space.begin();
    change.add(ram(1 << 32, 0x1000, &old));
    change.commit().unwrap();
    let mut change = space.begin();
    change
        .del(span(1 << 32, 0x1000))
        .add(ram(1 << 32, 128 << 20, &new));
    let error = change.commit_with(&|progress| {
        assert_eq!(
            (progress.phase, model.spans()),
            (Phase::Populate, vec![span(1 << 32, 0x1000)])
        );
        ControlFlow::Break(())
    });

    assert!(matches!(error, Err(Error::Cancelled)));
    assert_eq!(space.sections().len(), 1);
}

/// Bytes that are populated, and bytes that are mapped.
#[derive(Default)]
struct Seen([AtomicU64; 2]);

impl Seen {
    fn see(&self, progress: Progress) -> ControlFlow<()> {
        self.0[usize::from(progress.phase == Phase::Map)]
            .fetch_max(progress.total, Ordering::Relaxed);
        ControlFlow::Continue(())
    }

    fn bytes(self) -> [u64; 2] {
        self.0.map(AtomicU64::into_inner)
    }
}

/// Makes a container that maps memory by its address only.
fn by_address() -> Arc<Model> {
    Model::with_capabilities(|capabilities| capabilities.map_file = false)
}

/// Adds a memfd of [`HALF`] bytes.
fn add_memfd(space: &AddressSpace) -> [u64; 2] {
    let memory = Memory::memfd(HALF, Pages::Base).unwrap();
    let mut change = space.begin();
    change.add(ram(1 << 32, HALF, &Arc::new(memory)));
    let seen = Seen::default();
    change.commit_with(&|progress| seen.see(progress)).unwrap();
    seen.bytes()
}

fn join(space: &AddressSpace, model: Arc<Model>) -> [u64; 2] {
    let seen = Seen::default();
    space
        .join_with(model, &|progress| seen.see(progress))
        .unwrap();
    seen.bytes()
}

#[test]
fn pages_are_populated_once_for_all_containers() {
    let space = four_threads();
    join(&space, Model::new());
    assert_eq!(add_memfd(&space), [0, HALF]);
    assert_eq!(join(&space, Model::new()), [0, HALF]);
    assert_eq!(join(&space, by_address()), [HALF, HALF]);
    assert_eq!(join(&space, by_address()), [0, HALF]);

    let space = four_threads();
    for container in [Model::new(), by_address(), by_address()] {
        join(&space, container);
    }
    assert_eq!(add_memfd(&space), [HALF, HALF]);
}

#[test]
fn concurrent_changes_are_serialized() {
    let space = four_threads();
    let model = joined(&space);
    let memory = memory(0x1000);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let space = &space;
            let memory = &memory;
            scope.spawn(move || {
                for i in 0..100 {
                    let at = thread << 32 | (i % 3) << 20;
                    let mut change = space.begin();
                    change.clear(span(at, 0x1000)).add(ram(at, 0x1000, memory));
                    change.commit().unwrap();
                }
            });
        }
    });

    assert_eq!((model.spans().len(), space.sections().len()), (12, 12));
}

/// Cancels once any byte is done.
fn cancel(progress: Progress) -> ControlFlow<()> {
    match progress.done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

#[test]
fn every_mapping_call_reports_progress_and_can_be_cancelled() {
    let system = Arc::new(four_threads());
    let model = joined(&system);
    let (_memory, section) = large();
    let place = section.span();
    let mut change = system.begin();
    change.add(section);
    change.commit().unwrap();
    system.withdraw(place).unwrap();

    assert!(matches!(
        system.restore_with(place, &cancel),
        Err(Error::Cancelled)
    ));
    assert!(model.spans().is_empty());

    let last = Mutex::new(None);
    let watch = |progress: Progress| {
        *last.lock().unwrap() = Some(progress);
        ControlFlow::Continue(())
    };
    system.restore_with(place, &watch).unwrap();
    let seen = last
        .lock()
        .unwrap()
        .take()
        .map(|progress| (progress.phase, progress.total));
    assert_eq!(seen, Some((Phase::Map, LENGTH)));

    let viommu = VirtualIommu::new(&system);
    let behind = joined(viommu.space());
    let all = Translation {
        iova: Span::new(0, LENGTH).unwrap(),
        target: place.start(),
        access: Access::ReadWrite,
    };
    assert!(matches!(
        viommu.map_with(all, &cancel),
        Err(Error::Cancelled)
    ));
    assert!(matches!(
        viommu.replay_with([all], &cancel),
        Err(Error::Cancelled)
    ));
    assert!(behind.spans().is_empty());

    viommu.replay_with([all], &watch).unwrap();
    assert_eq!(
        last.lock().unwrap().map(|progress| progress.total),
        Some(LENGTH)
    );
}
