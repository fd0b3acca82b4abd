//! What a call takes: map and unmap of the same memory, by each of the ways.
#![allow(unsafe_code)]

use std::time::Duration;

use anyhow::{Context, Result};
use passthru_vfio::address_space::{Memory, Pages};

use crate::User;
use crate::memory::{GIB, IOVA, MIB, address, populate_all, processors};
use crate::stats::{median, order, ratio};
use crate::team::together;
use crate::ways::{WAYS, Ways};

/// A gibibyte, and in which pieces it is mapped.
struct Case {
    name: &'static str,
    piece: u64,
    pages: Pages,
    /// How much is mapped by one of the ways before the next one goes on.
    block: u64,
    /// How often all of it is mapped: often enough that each way has five blocks.
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

/// Prints a table.
pub(crate) fn measure(ways: &Ways, user: User) -> Result<()> {
    println!("#### Map and unmap of 1 GiB, by pieces\n");
    println!(
        "Microseconds for one map and one unmap of a piece, by the clock on the wall. All pieces are mapped before the first is
unmapped. The three take turns: after 16 MiB of the 262,144 pieces of 4 KiB, 42 times; after 128 MiB of those of 2 MiB, 24 times;
after the whole, 5 times. Of several threads each has its share of the pieces (of the whole: one). They call the same functions of
the same objects as one thread does: `Dma::map` and `unmap`, the two ioctls, `VfioIommufd::vfio_dma_map` and `vfio_dma_unmap`.\n"
    );
    println!(
        "| pieces | memory | threads | ours | direct | peers | ours / direct | peers / direct |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for case in &CASES {
        for touched in [true, false] {
            for threads in [1, processors().get()] {
                row(ways, case, touched, threads, user)?;
            }
        }
    }
    println!();
    Ok(())
}

fn row(ways: &Ways, case: &Case, touched: bool, threads: usize, user: User) -> Result<()> {
    let name = if touched { "touched" } else { "untouched" };
    user.progress(&format!("calls: {}, {name}, threads: {threads}", case.name));
    let kept = if touched {
        Some(case.memory(true)?)
    } else {
        None
    };
    let mut times = [const { Vec::new() }; WAYS.len()];
    let mut order = order(WAYS.len());
    for _ in 0..case.passes {
        let turns: Vec<_> = (0..GIB)
            .step_by(case.block as usize)
            .zip(&mut order)
            .collect();
        let taken = match &kept {
            Some(memory) => pass(ways, case, memory, threads, &turns),
            None => pass(ways, case, &case.memory(false)?, threads, &turns),
        }?;
        turns
            .iter()
            .zip(taken)
            .for_each(|((_, which), taken)| times[*which].push(taken));
    }
    let micros = |times: &[f64]| median(times) * case.piece as f64 / case.block as f64 * 1e6;
    let [ours, direct, peers] = &times;
    println!(
        "| {} | {name} | {threads} | {:.1} | {:.1} | {:.1} | {:.3} | {:.3} |",
        case.name,
        micros(ours),
        micros(direct),
        micros(peers),
        ratio(ours, direct),
        ratio(peers, direct)
    );
    Ok(())
}

/// Maps all of it, and unmaps it again, each block by the way whose turn it is. Returns the seconds
/// that each block took.
fn pass(
    ways: &Ways,
    case: &Case,
    memory: &Memory,
    threads: usize,
    turns: &[(u64, usize)],
) -> Result<Vec<f64>> {
    let map = |(block, which): &(u64, usize)| {
        case.by_threads(*block, threads, |at, length| {
            let (way, start) = (WAYS[*which], address(memory, at)?);
            // SAFETY: the memory stays until it is unmapped below (or the process ends), and is not
            // accessed.
            unsafe { ways.map(way, start, length, IOVA + at) }.with_context(|| way.name())
        })
    };
    let unmap = |(block, which): &(u64, usize)| {
        case.by_threads(*block, threads, |at, length| {
            let way = WAYS[*which];
            ways.unmap(way, IOVA + at, length)
                .with_context(|| way.name())
        })
    };
    let mapped = turns.iter().map(map).collect::<Result<Vec<_>>>()?;
    let unmapped = turns.iter().map(unmap).collect::<Result<Vec<_>>>()?;
    Ok(mapped
        .into_iter()
        .zip(unmapped)
        .map(|(map, unmap)| (map + unmap).as_secs_f64())
        .collect())
}

impl Case {
    fn memory(&self, touched: bool) -> Result<Memory> {
        let memory = Memory::anonymous(GIB, self.pages)?;
        if touched {
            populate_all(&memory, processors().get())?;
        }
        Ok(memory)
    }

    /// Calls something for each piece of a block, from several threads, each of which has its
    /// share.
    fn by_threads(
        &self,
        block: u64,
        threads: usize,
        call: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<Duration> {
        // Shares begin on borders of pieces, or of huge pages where there is one piece; the last
        // has the rest.
        let border = self.piece.min(2 * MIB);
        let share = self.block / threads as u64 / border * border;
        together(threads, |which| {
            let start = which as u64 * share;
            let end = if which + 1 == threads {
                self.block
            } else {
                start + share
            };
            let pieces = (start..end).step_by(self.piece as usize);
            pieces
                .into_iter()
                .try_for_each(|at| call(block + at, self.piece.min(end - at)))
        })
    }
}
