//! Random sequences of changes, with random refusals of the containers, against what must be mapped
//! then.

use crate::expected::Wanted;
use crate::model::{self, Model, Target};
use crate::steps::{BASE, END, PAGE, Runner, Step, step};
use passthru_vfio::address_space::{AddressSpace, DirtyMemory, Section};
use passthru_vfio::container::Dma;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Steps, with the calls of each container that fail in them, and the pages that its devices write
/// to before.
fn steps() -> impl Strategy<Value = Vec<(Step, [u64; 3], [u32; 3])>> {
    let failures = prop_oneof![3 => Just(0_u64), 1 => (0..8_u32).prop_map(|call| 1 << call), 1 => any::<u64>()];
    vec(
        (
            step(),
            [failures.clone(), failures.clone(), failures],
            any::<[u32; 3]>(),
        ),
        1..24,
    )
}

fn containers(models: &[Arc<Model>]) -> Vec<Arc<dyn Dma>> {
    models
        .iter()
        .map(|model| Arc::clone(model) as Arc<dyn Dma>)
        .collect()
}

/// Checks the sections, the records, and what a device would find at each page.
fn check(runner: &Runner, models: &[Arc<Model>]) -> Result<(), TestCaseError> {
    let sections: Vec<_> = runner.space.sections().iter().map(Section::span).collect();
    prop_assert_eq!(sections, runner.expected.spans());
    for (index, model) in models.iter().enumerate() {
        if !runner.joined[index] {
            prop_assert!(model.spans().is_empty());
            continue;
        }
        let (recorded, mapped) = (
            runner.space.mappings(&runner.containers[index]).unwrap(),
            model.spans(),
        );
        // Nothing is mapped that is not recorded, whatever happens.
        prop_assert!(
            mapped.iter().all(|span| recorded.contains(span)),
            "{:?} of {:?}",
            mapped,
            recorded
        );
        let is_known = !runner.broken && !model.doubtful.load(Ordering::Relaxed);
        prop_assert!(
            recorded == mapped || !is_known,
            "{:?} of {:?}",
            mapped,
            recorded
        );
        for page in (0..END).filter(|_| is_known) {
            let found = model.at(BASE + page * PAGE);
            let target = |memory: usize| {
                Target::Address(runner.memories[memory].address().unwrap() as u64 + page * PAGE)
            };
            match runner.expected.at(page) {
                Wanted::Nothing => prop_assert_eq!(found, None, "page {}", page),
                Wanted::This(memory) => {
                    prop_assert_eq!(found, Some(target(memory)), "page {}", page);
                }
                Wanted::Perhaps(memory) => {
                    prop_assert!(found.is_none_or(|found| found == target(memory)));
                }
            }
        }
    }
    Ok(())
}

/// Checks what a device finds behind the virtual IOMMU. What could not be mapped there, and was
/// noted, can be missing.
fn check_behind(runner: &Runner, model: &Model) -> Result<(), TestCaseError> {
    if runner.broken || model.doubtful.load(Ordering::Relaxed) {
        return Ok(());
    }
    for page in 0..END {
        let found = model.at(BASE + page * PAGE);
        let (target, wanted) = runner.expected.behind(page);
        let target = |memory: usize| {
            Some(Target::Address(
                runner.memories[memory].address().unwrap() as u64 + target * PAGE,
            ))
        };
        let is_missing = |may: bool| may && found.is_none();
        match wanted {
            Wanted::Nothing => prop_assert_eq!(found, None, "page {}", page),
            Wanted::This(memory) => {
                prop_assert!(found == target(memory) || is_missing(runner.noted));
            }
            Wanted::Perhaps(memory) => prop_assert!(found == target(memory) || is_missing(true)),
        }
    }
    Ok(())
}

/// Has a device write to what is mapped of some pages. Returns the addresses of what it wrote to.
fn write(model: &Model, pages: u32) -> impl Iterator<Item = u64> {
    let pages = (0..END.min(32)).filter(move |page| pages >> page & 1 == 1);
    let targets = pages.filter_map(|page| model.write(BASE + page * PAGE));
    targets.map(|target| match target {
        Target::Address(address) => address,
        Target::File(..) => unreachable!("the memories have no files"),
    })
}

/// All that was written to is told, and nothing else, if nothing failed.
fn check_dirty(
    runner: &Runner,
    written: &BTreeSet<u64>,
    has_failed: bool,
) -> Result<(), TestCaseError> {
    let parts = [&*runner.space, runner.viommu.space()].map(|space| space.take_dirty().unwrap());
    let pages = |part: DirtyMemory| {
        let start = part.memory.address().unwrap() as u64 + part.offset;
        (start..start + part.length).step_by(PAGE as usize)
    };
    let told: BTreeSet<_> = parts.into_iter().flatten().flat_map(pages).collect();
    prop_assert!(told.is_superset(written), "{:x?} of {:x?}", told, written);
    prop_assert!(
        has_failed || told == *written,
        "{:x?} for {:x?}",
        told,
        written
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_match_sections(steps in steps()) {
        let mut models = vec![model::model(), model::model()];
        let behind = model::model();
        let mut written = BTreeSet::new();
        let mut runner = Runner::new(AddressSpace::default(), containers(&models), &containers(&[Arc::clone(&behind)]));
        // Memory of mappings that nobody could unmap is never freed.
        let mut leaked = false;
        for space in [&*runner.space, runner.viommu.space()] {
            space.set_dirty_tracking(true).unwrap();
        }
        for (step, failures, pages) in &steps {
            let all = || models.iter().chain([&behind]);
            all().zip(pages).for_each(|(model, pages)| written.extend(write(model, *pages)));
            all().zip(failures).for_each(|(model, failures)| model.fail(*failures));
            runner.step(step);
            all().for_each(|model| model.fail(0));
            if let Some(index) = runner.abandoned.take() {
                leaked = true;
                models[index] = model::model();
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
        prop_assert!(models.iter().chain([&behind]).all(|model| model.spans().is_empty()));
        prop_assert!(leaked || memories.iter().all(|memory| Arc::strong_count(memory) == 1));
    }
}
