//! Time of each phase when memory is populated first: making the pages, and mapping them.

use anyhow::Result;
use passthru_vfio::address_space::Memory;
use passthru_vfio::container::Backend::{Iommufd, Type1};
use passthru_vfio::container::Dma;

use crate::User;
use crate::contenders::Contenders;
use crate::memory::{GIB, KINDS, Kind, MIB, populate_all, processors};
use crate::orders::map;
use crate::stats::median;
use crate::team::{Queue, together};

const ROUNDS: usize = 5;
const PIECE: u64 = 64 * MIB;

/// Seconds of a round: by one thread, and by all.
struct Round {
    populate: [f64; 2],
    iommufd: [f64; 2],
    type1: f64,
}

/// Prints the table. The kernel does the same work for either user, so one is measured.
pub(crate) fn measure(contenders: &Contenders, user: User) -> Result<()> {
    if user == User::Root {
        return Ok(());
    }
    let threads = processors();
    println!("#### Where the time goes\n");
    println!(
        "Seconds for 1 GiB: to populate it (`MADV_POPULATE_WRITE`), and to map it once it is
populated. Brackets have the time of {threads} threads as a share of one thread's. The last two
columns are the sums for {threads} threads. type1 pins under one lock: there one thread maps, and
only populating is shared.\n"
    );
    println!(
        "| memory | populate, 1 | populate, {threads} | iommufd map, 1 | iommufd map, {threads} | \
         type1 map, 1 | iommufd together | type1 together |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for kind in KINDS.iter().filter(|kind| !kind.by_file) {
        row(contenders, kind, user)?;
    }
    println!();
    Ok(())
}

fn row(contenders: &Contenders, kind: &Kind, user: User) -> Result<()> {
    user.progress(&format!("phases: {}", kind.name));
    let rounds = (0..ROUNDS)
        .map(|_| round(contenders, kind))
        .collect::<Result<Vec<_>>>()?;
    println!(
        "| {} | {:.3} | {:.3} ({:.2}) | {:.3} | {:.3} ({:.2}) | {:.3} | {:.3} | {:.3} |",
        kind.name,
        median_of(&rounds, |round| round.populate[0]),
        median_of(&rounds, |round| round.populate[1]),
        median_of(&rounds, |round| round.populate[1] / round.populate[0]),
        median_of(&rounds, |round| round.iommufd[0]),
        median_of(&rounds, |round| round.iommufd[1]),
        median_of(&rounds, |round| round.iommufd[1] / round.iommufd[0]),
        median_of(&rounds, |round| round.type1),
        median_of(&rounds, |round| round.populate[1] + round.iommufd[1]),
        median_of(&rounds, |round| round.populate[1] + round.type1)
    );
    Ok(())
}

fn median_of(rounds: &[Round], figure: fn(&Round) -> f64) -> f64 {
    let figures: Vec<_> = rounds.iter().map(figure).collect();
    median(&figures)
}

fn round(contenders: &Contenders, kind: &Kind) -> Result<Round> {
    let iommufd = contenders.container(Iommufd);
    let type1 = contenders.container(Type1);
    let threads = processors().get();
    let by_one = populate_all(&(kind.make)(GIB)?, 1)?;
    let memory = (kind.make)(GIB)?;
    Ok(Round {
        populate: [by_one, populate_all(&memory, threads)?].map(|time| time.as_secs_f64()),
        iommufd: [
            map_all(&*iommufd, &memory, 1)?,
            map_all(&*iommufd, &memory, threads)?,
        ],
        type1: map_all(&*type1, &memory, 1)?,
    })
}

fn map_all(dma: &dyn Dma, memory: &Memory, threads: usize) -> Result<f64> {
    let queue = Queue::new(GIB, PIECE);
    let time = together(threads, |_| queue.each(|at| map(dma, memory, at, PIECE)));
    dma.unmap_all()?;
    Ok(time?.as_secs_f64())
}
