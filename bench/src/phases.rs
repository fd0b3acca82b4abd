//! Where the time goes when memory is populated first: in making the pages, or in mapping what is
//! there.

use anyhow::Result;
use passthru_vfio::address_space::Memory;
use passthru_vfio::container::Backend::{Iommufd, Type1};
use passthru_vfio::container::Dma;

use crate::User;
use crate::memory::{GIB, KINDS, Kind, MIB, populate_all, processors};
use crate::orders::map;
use crate::stats::median;
use crate::team::{Queue, together};
use crate::ways::Ways;

const ROUNDS: usize = 5;
const PIECE: u64 = 64 * MIB;

/// What a round measures.
struct Round {
    populate: [f64; 2],
    iommufd: [f64; 2],
    type1: f64,
}

/// Prints a table. The kernel does the same for either user: one of them is enough.
pub(crate) fn measure(ways: &Ways, user: User) -> Result<()> {
    if user == User::Root {
        return Ok(());
    }
    let threads = processors();
    println!("#### Where the time goes\n");
    println!(
        "Seconds for 1 GiB: to populate it (`MADV_POPULATE_WRITE`), and to map what is populated, by one thread and by {threads}; in brackets
what {threads} take of one. Together they are what {threads} threads need that populate first, and then map. type1 pins under one
lock: there one thread maps, and only populating is shared.\n"
    );
    println!(
        "| memory | populate, 1 | populate, {threads} | iommufd map, 1 | iommufd map, {threads} | type1 map, 1 | iommufd together | type1 together |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    KINDS
        .iter()
        .filter(|kind| !kind.by_file)
        .try_for_each(|kind| row(ways, kind, user))?;
    println!();
    Ok(())
}

fn row(ways: &Ways, kind: &Kind, user: User) -> Result<()> {
    user.progress(&format!("phases: {}", kind.name));
    let rounds = (0..ROUNDS)
        .map(|_| round(ways, kind))
        .collect::<Result<Vec<_>>>()?;
    let of = |figure: fn(&Round) -> f64| median(&rounds.iter().map(figure).collect::<Vec<_>>());
    println!(
        "| {} | {:.3} | {:.3} ({:.2}) | {:.3} | {:.3} ({:.2}) | {:.3} | {:.3} | {:.3} |",
        kind.name,
        of(|it| it.populate[0]),
        of(|it| it.populate[1]),
        of(|it| it.populate[1] / it.populate[0]),
        of(|it| it.iommufd[0]),
        of(|it| it.iommufd[1]),
        of(|it| it.iommufd[1] / it.iommufd[0]),
        of(|it| it.type1),
        of(|it| it.populate[1] + it.iommufd[1]),
        of(|it| it.populate[1] + it.type1)
    );
    Ok(())
}

fn round(ways: &Ways, kind: &Kind) -> Result<Round> {
    let (iommufd, type1, threads) = (
        ways.container(Iommufd),
        ways.container(Type1),
        processors().get(),
    );
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
