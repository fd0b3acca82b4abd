//! What a call takes: map and unmap of the same memory, by each of the ways.
#![allow(unsafe_code)]

use crate::stats::{in_turns, median, ratio};
use crate::ways::{WAYS, Way, Ways};
use anyhow::{Context, Result};
use passthru_vfio::address_space::{Memory, Pages};
use std::time::{Duration, Instant};

/// What is mapped, and in which pieces.
struct Case {
    name: &'static str,
    length: u64,
    piece: u64,
    pages: Pages,
    rounds: usize,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const IOVA: u64 = 4 * GIB;

const CASES: [Case; 3] = [
    Case {
        name: "4 KiB (64 MiB of base pages)",
        length: 64 * MIB,
        piece: 4096,
        pages: Pages::Base,
        rounds: 15,
    },
    Case { name: "2 MiB (1 GiB of THP)", length: GIB, piece: 2 * MIB, pages: Pages::Transparent, rounds: 7 },
    Case { name: "whole (1 GiB of base pages)", length: GIB, piece: GIB, pages: Pages::Base, rounds: 5 },
];

/// Prints a table.
pub(crate) fn measure(ways: &Ways) -> Result<()> {
    println!("#### Map and unmap, one thread\n");
    println!("Microseconds for one map and one unmap of a piece.\n");
    println!("| pieces | memory | ours | direct | peers | ours / direct | peers / direct |");
    println!("|---|---|---|---|---|---|---|");
    for case in &CASES {
        for touched in [true, false] {
            row(ways, case, touched)?;
        }
    }
    println!();
    Ok(())
}

fn row(ways: &Ways, case: &Case, touched: bool) -> Result<()> {
    let kept = if touched { Some(touch(Memory::anonymous(case.length, case.pages)?)) } else { None };
    let times = in_turns(WAYS.len(), case.rounds, |which| {
        let fresh;
        let memory = match &kept {
            Some(memory) => memory,
            None => {
                fresh = Memory::anonymous(case.length, case.pages)?;
                &fresh
            }
        };
        round(ways, WAYS[which], case, memory)
    })?;
    let calls = (case.length / case.piece) as f64;
    let micros = |way: usize| median(&times[way]) / calls * 1e6;
    let direct = &times[1];
    println!(
        "| {} | {} | {:.1} | {:.1} | {:.1} | {:.3} | {:.3} |",
        case.name,
        if touched { "touched" } else { "untouched" },
        micros(0),
        micros(1),
        micros(2),
        ratio(&times[0], direct),
        ratio(&times[2], direct)
    );
    debug_assert_eq!(WAYS[1], Way::Direct);
    Ok(())
}

/// Maps and unmaps all of it once.
fn round(ways: &Ways, way: Way, case: &Case, memory: &Memory) -> Result<Duration> {
    let start = memory.address().context("the memory is not mapped")?;
    let begin = Instant::now();
    for at in (0..case.length).step_by(case.piece as usize) {
        // SAFETY: the memory stays until it is unmapped below (or the process ends), and is not accessed.
        unsafe { ways.map(way, start.wrapping_add(at as usize), case.piece, IOVA + at) }
            .with_context(|| way.name())?;
    }
    for at in (0..case.length).step_by(case.piece as usize) {
        ways.unmap(way, IOVA + at, case.piece).with_context(|| way.name())?;
    }
    Ok(begin.elapsed())
}

/// Has all pages made.
pub(crate) fn touch(memory: Memory) -> Memory {
    for at in (0..memory.len()).step_by(4096) {
        // SAFETY: the memory is mapped, and nobody else has it.
        memory.address().into_iter().for_each(|start| unsafe { start.add(at as usize).write_volatile(1) });
    }
    memory
}
