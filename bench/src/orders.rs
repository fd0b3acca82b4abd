//! In which order several threads best have memory made and map it: an address space's [`Mapper`],
//! beside the orders that there are to choose from.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::Result;
use passthru_vfio::address_space::{AddressSpace, Mapper, Memory, Phase, Section, Span};
use passthru_vfio::container::Backend::{Iommufd, Type1};
use passthru_vfio::container::{Access, Backend, Dma};

use crate::User;
use crate::memory::{GIB, IOVA, KINDS, Kind, MIB, address, populate, processors};
use crate::stats::{in_turns, median, ratio};
use crate::team::{Queue, together};
use crate::ways::Ways;

const ROUNDS: usize = 5;
const PIECE: u64 = 64 * MIB;

/// In which order it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// One thread maps it.
    One,
    /// All threads map, and nothing is populated before.
    Map,
    /// All threads populate all of it, and only then map all.
    PopulateThenMap,
    /// Each thread populates a piece and maps it, and takes the next one.
    InTurn,
}

const ORDERS: [Order; 4] = [
    Order::One,
    Order::Map,
    Order::PopulateThenMap,
    Order::InTurn,
];

/// Prints a table.
pub(crate) fn measure(ways: &Ways, user: User) -> Result<()> {
    println!("#### 1 GiB of untouched memory, in which order\n");
    println!(
        "Seconds, and in brackets what that is of the first column. One thread maps all; or {threads} threads take pieces: they map
them; they populate them all, and only then map (with type1, which pins under one lock, one of them maps); each populates a piece and maps it before it takes the next one. The order of
an address space's `Mapper` is bold: there, and with one thread, the address space is measured; else its container, with pieces
of 64 MiB. The last column is what the bold one takes of the best of the others.\n",
        threads = processors()
    );
    println!(
        "| memory | backend | one maps | all map | all populate, all map | each populates, maps | of the next best |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in &KINDS {
        row(ways, kind, Iommufd, user)?;
        if !kind.by_file && user == User::Nobody {
            row(ways, kind, Type1, user)?;
        }
    }
    println!();
    Ok(())
}

fn row(ways: &Ways, kind: &Kind, backend: Backend, user: User) -> Result<()> {
    user.progress(&format!("orders: {}, {backend}", kind.name));
    let dma = ways.container(backend);
    let populates = by_address_space(&dma, (kind.make)(2 * MIB)?, processors())?.1;
    let own = if populates {
        Order::PopulateThenMap
    } else {
        Order::Map
    };
    let times = in_turns(ORDERS.len(), ROUNDS, |which| {
        let memory = (kind.make)(GIB)?;
        match ORDERS[which] {
            Order::One => Ok(by_address_space(&dma, memory, NonZeroUsize::MIN)?.0),
            order if order == own => Ok(by_address_space(&dma, memory, processors())?.0),
            order => by_threads(&*dma, &memory, order),
        }
    })?;
    let orders = || ORDERS.iter().zip(&times);
    print!("| {} | {backend}", kind.name);
    for (order, taken) in orders() {
        let bold = if *order == own { "**" } else { "" };
        print!(
            " | {bold}{:.3} ({:.2}){bold}",
            median(taken),
            ratio(taken, &times[0])
        );
    }
    let of_own = orders()
        .filter(|(order, _)| **order == own)
        .map(|(_, taken)| taken);
    let others = orders()
        .filter(|(order, _)| **order != own)
        .map(|(_, taken)| taken);
    let best = others.min_by(|a, b| median(a).total_cmp(&median(b)));
    let ratio = of_own.zip(best).map(|(own, best)| ratio(own, best)).next();
    println!(" | {:.2} |", ratio.unwrap_or(f64::NAN));
    Ok(())
}

/// Says how long it took, and whether the memory was populated before.
fn by_address_space(
    dma: &Arc<dyn Dma>,
    memory: Memory,
    threads: NonZeroUsize,
) -> Result<(Duration, bool)> {
    let space = AddressSpace::default().with_mapper(Mapper::new(threads));
    space.join(Arc::clone(dma))?;
    let section = Section::ram(Span::new(IOVA, memory.len())?, &Arc::new(memory), 0)?;
    let mut change = space.begin();
    change.add(section);
    let populated = AtomicBool::new(false);
    let begin = Instant::now();
    change.commit_with(&|progress| {
        populated.fetch_or(progress.phase == Phase::Populate, Ordering::Relaxed);
        ControlFlow::Continue(())
    })?;
    Ok((begin.elapsed(), populated.into_inner()))
}

/// Says how long it took, the start of the threads included.
fn by_threads(dma: &dyn Dma, memory: &Memory, order: Order) -> Result<Duration> {
    let threads = processors().get();
    let (to_populate, to_map) = (Queue::new(GIB, PIECE), Queue::new(GIB, PIECE));
    let barrier = Barrier::new(threads);
    let begin = Instant::now();
    let result = together(threads, |_| {
        if order == Order::PopulateThenMap {
            let populated = to_populate.each(|at| populate(memory, at, PIECE));
            barrier.wait();
            populated?;
        }
        to_map.each(|at| {
            if order == Order::InTurn {
                populate(memory, at, PIECE)?;
            }
            map(dma, memory, at, PIECE)
        })
    });
    let time = begin.elapsed();
    dma.unmap_all()?;
    result.map(|_| time)
}

/// Maps a piece as an address space would: by its file, where the container can.
pub(crate) fn map(dma: &dyn Dma, memory: &Memory, at: u64, length: u64) -> Result<()> {
    match memory.file().filter(|_| dma.capabilities().map_file) {
        Some((file, start)) => {
            dma.map_file(file, start + at, length, IOVA + at, Access::ReadWrite)?;
        }
        // SAFETY: the memory stays until everything is unmapped (or the process ends), and is not
        // accessed.
        None => unsafe { dma.map(address(memory, at)?, length, IOVA + at, Access::ReadWrite) }?,
    }
    Ok(())
}
