//! Time of a map and an unmap of the same memory, by each contender.
#![allow(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result};
use passthru_vfio::address_space::{Memory, Pages};

use crate::User;
use crate::contenders::{CONTENDERS, Contenders};
use crate::memory::{GIB, IOVA, MIB, address, populate_all, processors};
use crate::stats::{median, order, ratio};
use crate::team::together;

/// A size of mappings within a gibibyte.
struct Case {
    name: &'static str,
    piece: u64,
    pages: Pages,
    /// Bytes that a contender maps before the next one takes its turn.
    block: u64,
    /// Number of passes over the whole gibibyte: enough for five blocks of each contender.
    passes: usize,
}

const CASES: [Case; 3] = [
    Case {
        name: "4 KiB (base pages)",
        piece: 4096,
        pages: Pages::Base,
        block: 16 * MIB,
        passes: 2,
    },
    Case {
        name: "2 MiB (THP)",
        piece: 2 * MIB,
        pages: Pages::Transparent,
        block: 128 * MIB,
        passes: 9,
    },
    Case {
        name: "whole (base pages)",
        piece: GIB,
        pages: Pages::Base,
        block: GIB,
        passes: 15,
    },
];

/// Prints the table.
pub(crate) fn measure(contenders: &Contenders, user: User) -> Result<()> {
    println!("#### Map and unmap of 1 GiB, by pieces\n");
    println!(
        "Microseconds for one map and one unmap of a piece, by the clock on the wall. All pieces
are mapped before the first is unmapped. The three take turns. With pieces of 4 KiB a turn has 16
MiB of them, 42 times. With pieces of 2 MiB it has 128 MiB, 24 times. Without pieces it has the
whole, 5 times. Several threads share the pieces; of the whole each has one piece. They call the
same functions of the same objects as one thread does: `Dma::map` and `unmap`, the two ioctls,
`VfioIommufd::vfio_dma_map` and `vfio_dma_unmap`.\n"
    );
    println!(
        "| pieces | memory | threads | ours | direct | peers | ours / direct | peers / direct |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for case in &CASES {
        for touched in [true, false] {
            for threads in [1, processors().get()] {
                row(contenders, case, touched, threads, user)?;
            }
        }
    }

    println!();
    Ok(())
}

fn row(
    contenders: &Contenders,
    case: &Case,
    touched: bool,
    threads: usize,
    user: User,
) -> Result<()> {
    let name = if touched { "touched" } else { "untouched" };
    user.progress(&format!("calls: {}, {name}, threads: {threads}", case.name));
    let kept = if touched {
        Some(case.memory(true)?)
    } else {
        None
    };
    let mut times = [const { Vec::new() }; CONTENDERS.len()];
    let mut order = order(CONTENDERS.len());
    for _ in 0..case.passes {
        let turns: Vec<_> = (0..GIB)
            .step_by(case.block as usize)
            .zip(&mut order)
            .collect();
        let taken = match &kept {
            Some(memory) => pass(contenders, case, memory, threads, &turns),
            None => pass(contenders, case, &case.memory(false)?, threads, &turns),
        }?;
        for ((_, which), taken) in turns.iter().zip(taken) {
            times[*which].push(taken);
        }
    }

    let [ours, direct, peers] = &times;
    println!(
        "| {} | {name} | {threads} | {:.1} | {:.1} | {:.1} | {:.3} | {:.3} |",
        case.name,
        case.micros(ours),
        case.micros(direct),
        case.micros(peers),
        ratio(ours, direct),
        ratio(peers, direct)
    );
    Ok(())
}

/// Maps and unmaps the whole gibibyte, each block by the contender in turn. Returns the seconds of
/// each block.
fn pass(
    contenders: &Contenders,
    case: &Case,
    memory: &Memory,
    threads: usize,
    turns: &[(u64, usize)],
) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for &(block, which) in turns {
        let contender = CONTENDERS[which];
        let time = case.by_threads(block, threads, |at, length| {
            let start = address(memory, at)?;
            // SAFETY: the memory stays until it is unmapped below (or the process ends), and is not
            // accessed.
            unsafe { contenders.map(contender, start, length, IOVA + at) }
                .with_context(|| contender.name())
        })?;
        seconds.push(time.as_secs_f64());
    }

    for (&(block, which), seconds) in turns.iter().zip(&mut seconds) {
        let contender = CONTENDERS[which];
        let time = case.by_threads(block, threads, |at, length| {
            contenders
                .unmap(contender, IOVA + at, length)
                .with_context(|| contender.name())
        })?;
        *seconds += time.as_secs_f64();
    }

    Ok(seconds)
}

impl Case {
    fn memory(&self, touched: bool) -> Result<Memory> {
        let memory = Memory::anonymous(GIB, self.pages)?;
        if touched {
            populate_all(&memory, processors().get())?;
        }
        Ok(memory)
    }

    /// Returns the median time of one piece in microseconds, given the seconds of blocks.
    fn micros(&self, seconds: &[f64]) -> f64 {
        median(seconds) * self.piece as f64 / self.block as f64 * 1e6
    }

    /// Calls `call` for each piece of a block, from several threads with a share each.
    fn by_threads(
        &self,
        block: u64,
        threads: usize,
        call: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<Duration> {
        // Shares begin at pieces, or at huge pages if there is one piece; the last has the rest.
        let border = self.piece.min(2 * MIB);
        let share = self.block / threads as u64 / border * border;
        together(threads, |which| {
            let start = which as u64 * share;
            let end = if which + 1 == threads {
                self.block
            } else {
                start + share
            };
            for at in (start..end).step_by(self.piece as usize) {
                call(block + at, self.piece.min(end - at))?;
            }
            Ok(())
        })
    }
}
