//! What several threads gain: an address space takes in a gibibyte that nobody has touched.

use crate::stats::{in_turns, median, ratio};
use crate::ways::Ways;
use anyhow::Result;
use passthru_vfio::address_space::{AddressSpace, Error, Mapper, Memory, Pages, Section, Span};
use passthru_vfio::container::Backend::{Iommufd, Type1};
use passthru_vfio::container::{Backend, Dma};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;
const ROUNDS: usize = 5;

/// What is mapped, and by which backend.
struct Case {
    name: &'static str,
    backend: Backend,
    make: fn() -> Result<Memory, Error>,
}

const CASES: [Case; 6] = [
    Case { name: "private, base pages", backend: Iommufd, make: || Memory::anonymous(GIB, Pages::Base) },
    Case { name: "private, THP", backend: Iommufd, make: || Memory::anonymous(GIB, Pages::Transparent) },
    Case {
        name: "private, hugetlb of 2 MiB",
        backend: Iommufd,
        make: || Memory::anonymous(GIB, Pages::Huge(2 << 20)),
    },
    Case { name: "memfd, by its descriptor", backend: Iommufd, make: || Memory::memfd(GIB, Pages::Base) },
    Case { name: "private, base pages", backend: Type1, make: || Memory::anonymous(GIB, Pages::Base) },
    Case { name: "private, THP", backend: Type1, make: || Memory::anonymous(GIB, Pages::Transparent) },
];

/// Prints a table.
pub(crate) fn measure(ways: &Ways) -> Result<()> {
    let threads = available_parallelism()?;
    println!("#### An address space maps 1 GiB of untouched memory\n");
    println!(
        "Seconds. What is mapped by its address is populated by all threads, and only then mapped by all.\n"
    );
    println!("| memory | backend | 1 thread | {threads} threads | ratio |");
    println!("|---|---|---|---|---|");
    let counts = [NonZeroUsize::MIN, threads];
    for Case { name, backend, make } in CASES {
        let times = in_turns(2, ROUNDS, |which| map(ways.container(backend), make()?, counts[which]))?;
        let (one, several) = (median(&times[0]), median(&times[1]));
        let ratio = ratio(&times[1], &times[0]);
        println!("| {name} | {backend} | {one:.3} | {several:.3} | {ratio:.2} |");
    }
    println!();
    Ok(())
}

fn map(container: Arc<dyn Dma>, memory: Memory, threads: NonZeroUsize) -> Result<Duration> {
    let space = AddressSpace::default().with_mapper(Mapper::new(threads));
    space.join(container)?;
    let section = Section::ram(Span::new(4 * GIB, GIB)?, &Arc::new(memory), 0)?;
    let mut change = space.begin();
    change.add(section);
    let begin = Instant::now();
    change.commit()?;
    Ok(begin.elapsed())
}
