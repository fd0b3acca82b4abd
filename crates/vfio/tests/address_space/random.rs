//! Random steps, with random failures of the containers, against the expected mappings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use passthru_vfio::address_space::{AddressSpace, DirtyMemory, Section};
use passthru_vfio::container::Dma;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::expected::ExpectedPage;
use crate::model::{Model, Target};
use crate::steps::{BASE, END, PAGE, Runner, Step, step};

/// A step, with the failing calls of each container, and the pages that its devices write to
/// before the step.
type RandomStep = (Step, [u64; 3], [u32; 3]);

fn steps() -> impl Strategy<Value = Vec<RandomStep>> {
    let failures = prop_oneof![
        3 => Just(0_u64),
        1 => (0..8_u32).prop_map(|call| 1 << call),
        1 => any::<u64>(),
    ];
    let failures = [failures.clone(), failures.clone(), failures];
    vec((step(), failures, any::<[u32; 3]>()), 1..24)
}

fn containers(models: &[Arc<Model>]) -> Vec<Arc<dyn Dma>> {
    models
        .iter()
        .map(|model| Arc::clone(model) as Arc<dyn Dma>)
        .collect()
}

/// Returns the target of a page in one of the memories.
fn target(runner: &Runner, memory: usize, page: u64) -> Target {
    Target::Address(runner.memories[memory].address().unwrap() as u64 + page * PAGE)
}

fn is_doubtful(runner: &Runner, model: &Model) -> bool {
    runner.broken || model.doubtful.load(Ordering::Relaxed)
}

/// Checks the sections, the records, and the mapping of each page.
fn check(runner: &Runner, models: &[Arc<Model>]) -> Result<(), TestCaseError> {
    let sections: Vec<_> = runner.space.sections().iter().map(Section::span).collect();
    prop_assert_eq!(sections, runner.expected.spans());
    for (index, model) in models.iter().enumerate() {
        if runner.joined[index] {
            check_joined(runner, index, model)?;
        } else {
            prop_assert!(model.spans().is_empty());
        }
    }

    Ok(())
}

/// Checks the records of a joined container, and the mapping of each page.
fn check_joined(runner: &Runner, index: usize, model: &Model) -> Result<(), TestCaseError> {
    let recorded = runner.space.mappings(&runner.containers[index]).unwrap();
    let mapped = model.spans();
    // All mappings are recorded, whatever fails.
    let all_recorded = mapped.iter().all(|span| recorded.contains(span));
    prop_assert!(all_recorded, "{:?} of {:?}", mapped, recorded);
    if is_doubtful(runner, model) {
        return Ok(());
    }
    prop_assert_eq!(&recorded, &mapped);
    for page in 0..END {
        let found = model.at(BASE + page * PAGE);
        match runner.expected.at(page) {
            ExpectedPage::Unmapped => prop_assert_eq!(found, None, "page {}", page),
            ExpectedPage::Mapped(memory) => {
                prop_assert_eq!(found, Some(target(runner, memory, page)), "page {}", page);
            }
            ExpectedPage::MaybeMapped(memory) => {
                prop_assert!(found.is_none_or(|found| found == target(runner, memory, page)));
            }
        }
    }

    Ok(())
}

/// Checks the mapping of each page behind the virtual IOMMU. Sections whose failure was noted may
/// be missing.
fn check_behind(runner: &Runner, model: &Model) -> Result<(), TestCaseError> {
    if is_doubtful(runner, model) {
        return Ok(());
    }
    for page in 0..END {
        let found = model.at(BASE + page * PAGE);
        let (target_page, expected) = runner.expected.behind(page);
        match expected {
            ExpectedPage::Unmapped => prop_assert_eq!(found, None, "page {}", page),
            ExpectedPage::Mapped(memory) => {
                let is_right = found == Some(target(runner, memory, target_page));
                prop_assert!(is_right || runner.noted && found.is_none());
            }
            ExpectedPage::MaybeMapped(memory) => {
                let is_right = found == Some(target(runner, memory, target_page));
                prop_assert!(is_right || found.is_none());
            }
        }
    }

    Ok(())
}

/// Writes to the mapped ones of some pages, as a device does. Returns the addresses of their
/// memory.
fn write(model: &Model, pages: u32) -> Vec<u64> {
    (0..END.min(32))
        .filter(|page| pages >> page & 1 == 1)
        .filter_map(|page| model.write(BASE + page * PAGE))
        .map(|target| match target {
            Target::Address(address) => address,
            Target::File(..) => unreachable!("the memories have no files"),
        })
        .collect()
}

/// Returns the addresses of the pages of a dirty part.
fn pages_of(part: DirtyMemory) -> impl Iterator<Item = u64> {
    let start = part.memory.address().unwrap() as u64 + part.offset;
    (start..start + part.length).step_by(PAGE as usize)
}

/// Checks that all written pages are reported, and, if no call has failed, no other page.
fn check_dirty(
    runner: &Runner,
    written: &BTreeSet<u64>,
    has_failed: bool,
) -> Result<(), TestCaseError> {
    let parts = [&*runner.space, runner.viommu.space()].map(|space| space.take_dirty().unwrap());
    let dirty: BTreeSet<_> = parts.into_iter().flatten().flat_map(pages_of).collect();
    prop_assert!(dirty.is_superset(written), "{:x?} of {:x?}", dirty, written);
    if !has_failed {
        prop_assert_eq!(&dirty, written);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_changes_match_sections(steps in steps()) {
        let mut models = vec![Model::new(), Model::new()];
        let behind = Model::new();
        let mut written = BTreeSet::new();
        let mut runner = Runner::new(
            AddressSpace::default(),
            containers(&models),
            &containers(&[Arc::clone(&behind)]),
        );
        // Memory that could not be unmapped is never freed.
        let mut has_leaked = false;
        for space in [&*runner.space, runner.viommu.space()] {
            space.set_dirty_tracking(true).unwrap();
        }
        for (step, failures, pages) in &steps {
            let all = || models.iter().chain([&behind]);
            for (model, pages) in all().zip(pages) {
                written.extend(write(model, *pages));
            }
            for (model, failures) in all().zip(failures) {
                model.fail(*failures);
            }
            runner.step(step);
            for model in all() {
                model.fail(0);
            }
            if let Some(index) = runner.abandoned.take() {
                has_leaked = true;
                models[index] = Model::new();
                runner.containers = containers(&models);
            }
            check(&runner, &models)?;
            check_behind(&runner, &behind)?;
        }
        runner.restore_all();
        check(&runner, &models)?;
        check_behind(&runner, &behind)?;
        let has_failed = steps.iter().any(|(_, failures, _)| *failures != [0; 3]);
        check_dirty(&runner, &written, has_failed)?;
        let Runner { space, viommu, memories, .. } = runner;
        drop((viommu, space));
        let mut all = models.iter().chain([&behind]);
        prop_assert!(all.all(|model| model.spans().is_empty()));
        let is_freed = memories.iter().all(|memory| Arc::strong_count(memory) == 1);
        prop_assert!(has_leaked || is_freed);
    }
}
