//! Orders in which several threads populate and map memory: that of an address space's [`Mapper`],
//! and others.
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
use crate::contenders::Contenders;
use crate::memory::{GIB, IOVA, KINDS, Kind, MIB, address, populate, processors};
use crate::stats::{in_turns, median, ratio};
use crate::team::{Queue, together};

const ROUNDS: usize = 5;
const PIECE: u64 = 64 * MIB;

/// An order of populating and mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// One thread maps.
    One,
    /// All threads map memory that is not populated.
    Map,
    /// All threads populate everything, and only then map.
    PopulateThenMap,
    /// Each thread populates a piece, maps it, and takes the next one.
    InTurn,
}

const ORDERS: [Order; 4] = [
    Order::One,
    Order::Map,
    Order::PopulateThenMap,
    Order::InTurn,
];

/// Prints the table.
pub(crate) fn measure(contenders: &Contenders, user: User) -> Result<()> {
    println!("#### 1 GiB of untouched memory, in which order\n");
    println!(
        "Seconds, and in brackets the share of the first column. In the first column one thread
maps all. In the others {threads} threads take pieces. They map them, or they populate them all and
only then map. Or each thread populates a piece and maps it before it takes the next one. type1
pins under one lock, so there one thread maps what all have populated. The order of an address
space's `Mapper` is bold. In that column and the first, the address space is measured; in the
others its container, with pieces of 64 MiB. The last column is the time of the bold one as a share
of the
best of the others.\n",
        threads = processors()
    );
    println!(
        "| memory | backend | one maps | all map | all populate, all map | each populates, maps | \
         of the next best |"
    );
    println!("|---|---|---|---|---|---|---|");
    for kind in &KINDS {
        row(contenders, kind, Iommufd, user)?;
        if !kind.by_file && user == User::Nobody {
            row(contenders, kind, Type1, user)?;
        }
    }

    println!();
    Ok(())
}

fn row(contenders: &Contenders, kind: &Kind, backend: Backend, user: User) -> Result<()> {
    user.progress(&format!("orders: {}, {backend}", kind.name));
    let dma = contenders.container(backend);
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
    print!("| {} | {backend}", kind.name);
    for (order, taken) in ORDERS.iter().zip(&times) {
        let bold = if *order == own { "**" } else { "" };
        print!(
            " | {bold}{:.3} ({:.2}){bold}",
            median(taken),
            ratio(taken, &times[0])
        );
    }

    println!(" | {:.2} |", ratio_to_best(own, &times));
    Ok(())
}

/// Returns the ratio of the times of one order to those of the best other order.
fn ratio_to_best(own: Order, times: &[Vec<f64>]) -> f64 {
    let mut own_times = None;
    let mut best: Option<&Vec<f64>> = None;
    for (order, times) in ORDERS.iter().zip(times) {
        if *order == own {
            own_times = Some(times);
        } else if best.is_none_or(|best| median(times) < median(best)) {
            best = Some(times);
        }
    }

    own_times
        .zip(best)
        .map_or(f64::NAN, |(own, best)| ratio(own, best))
}

/// Maps through an address space. Returns the time, and whether the memory was populated first.
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

/// Maps in this order. Returns the time, which includes the start of the threads.
fn by_threads(dma: &dyn Dma, memory: &Memory, order: Order) -> Result<Duration> {
    let threads = processors().get();
    let to_populate = Queue::new(GIB, PIECE);
    let to_map = Queue::new(GIB, PIECE);
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

/// Maps a piece as an address space would: by its file if the container can, else by its address.
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
