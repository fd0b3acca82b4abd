//! Cost of a second address space of the same memory: pinned again, or copied from the first one.
#![allow(unsafe_code)]

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use passthru_vfio::address_space::{AddressSpace, Mapper, Memory, Pages, Section, Sharing, Span};
use passthru_vfio::container::{Backend, Dma, IommufdContainer};

use crate::User;
use crate::contenders::Contenders;
use crate::memory::{MIB, populate_all, processors};
use crate::stats::{in_turns, median};

const LENGTH: u64 = 512 * MIB;
const ROUNDS: usize = 5;

/// Prints the table.
pub(crate) fn measure(contenders: &Contenders, user: User) -> Result<()> {
    println!("#### A second container of 512 MiB on the same iommufd\n");
    println!(
        "MiB that the process has pinned, and is charged for (`VmPin`, `VmLck`), with the first \
         and with the second container.\n"
    );
    println!("| memory | | threads | seconds | pinned | charged |");
    println!("|---|---|---|---|---|---|");
    let other = contenders.second()?;
    let several = processors();
    for (name, pages) in [("base pages", Pages::Base), ("THP", Pages::Transparent)] {
        user.progress(&format!("sharing: {name}"));
        let memory = Arc::new(Memory::anonymous(LENGTH, pages)?);
        populate_all(&memory, several.get())?;
        let cases = [
            ("pinned again", Sharing::Never, NonZeroUsize::MIN),
            ("copied", Sharing::Always, NonZeroUsize::MIN),
            ("pinned again", Sharing::Never, several),
            ("copied", Sharing::Always, several),
        ];
        let mut seen = [Charges::default(); 4];
        let times = in_turns(4, ROUNDS, |which| {
            let (_, sharing, threads) = cases[which];
            // SAFETY: the two containers that join are used by this address space only.
            let space = unsafe { AddressSpace::default().with_sharing(sharing) };
            let space = space.with_mapper(Mapper::new(threads));
            let (time, charges) = second(contenders, &space, &other, &memory)?;
            seen[which] = charges;
            Ok::<_, anyhow::Error>(time)
        })?;
        for (which, (case, _, threads)) in cases.iter().enumerate() {
            let Charges { pinned, charged } = seen[which];
            println!(
                "| {name} | {case} | {threads} | {:.3} | {} → {} | {} → {} |",
                median(&times[which]),
                pinned[0],
                pinned[1],
                charged[0],
                charged[1]
            );
        }
    }

    Ok(())
}

/// Pinned and charged memory in MiB, before and after the second container.
#[derive(Clone, Copy, Debug, Default)]
struct Charges {
    pinned: [u64; 2],
    charged: [u64; 2],
}

fn second(
    contenders: &Contenders,
    space: &AddressSpace,
    other: &Arc<IommufdContainer>,
    memory: &Arc<Memory>,
) -> Result<(Duration, Charges)> {
    space.join(contenders.container(Backend::Iommufd))?;
    let mut change = space.begin();
    change.add(Section::ram(Span::new(4 << 30, LENGTH)?, memory, 0)?);
    change.commit()?;
    let pinned_before = status_mib("VmPin:");
    let charged_before = status_mib("VmLck:");
    let begin = Instant::now();
    space.join(Arc::clone(other) as Arc<dyn Dma>)?;
    let time = begin.elapsed();
    let charges = Charges {
        pinned: [pinned_before, status_mib("VmPin:")],
        charged: [charged_before, status_mib("VmLck:")],
    };
    Ok((time, charges))
}

/// Returns a field of the process's status, in MiB.
fn status_mib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .unwrap_or_default()
        >> 10
}
