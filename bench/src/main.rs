//! `cargo xtask bench dma`: how long mapping for DMA takes on the virtual host, beside the same
//! ioctls called directly and beside vfio-ioctls with iommufd-ioctls. What it prints becomes
//! docs/benchmarks.md.
//!
//! Everything that is compared is measured in turns (A B C, B C A, …), so that what slows the
//! machine down slows all of it down; the figures are medians.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints its results, and how far it is"
)]

mod calls;
mod machine;
mod memory;
mod orders;
mod phases;
mod sharing;
mod stats;
mod team;
mod ways;

use std::env;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use passthru_host::{Host, Request};
use passthru_lab::devices::{CMB_NVME, IGB, NVME};

use ways::Ways;

/// Who maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// With all privileges: nothing is charged.
    Root,
    /// Without any, charged by process (`RLIMIT_MODE` 1).
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];

/// A table, by its name.
type Table = (&'static str, fn(&Ways, User) -> Result<()>);

const TABLES: [Table; 4] = [
    ("calls", calls::measure),
    ("orders", orders::measure),
    ("phases", phases::measure),
    ("sharing", sharing::measure),
];

/// Says to the process itself, started again, who it is.
const AS: &str = "--as";

fn main() -> Result<()> {
    let _host = passthru_lab::host();
    let words: Vec<_> = env::args().skip(1).collect();
    match words.split_first() {
        Some((option, words)) if option == AS => measure(words),
        _ => as_each(&words),
    }
}

/// Takes the devices, and measures as each user, in a process of its own. With words only what they
/// name: users and tables.
fn as_each(words: &[String]) -> Result<()> {
    let (users, tables): (Vec<_>, Vec<_>) = words
        .iter()
        .cloned()
        .partition(|word| User::named(word).is_some());
    for table in &tables {
        let names = TABLES.map(|(name, _)| name);
        ensure!(
            names.contains(&table.as_str()),
            "there is no table {table}, but: {}",
            names.join(", ")
        );
    }
    let requests = [NVME, CMB_NVME, IGB].map(|address| address.parse().map(Request::managed));
    let requests = requests.into_iter().collect::<Result<Vec<_>, _>>()?;
    let assignment = Host::new().assign(&requests, Some("bench"), false)?;
    machine::reserve_huge_pages()?;
    machine::print();
    for user in USERS
        .map(User::name)
        .into_iter()
        .filter(|user| is_wanted(user, &users))
    {
        let status = Command::new(env::current_exe()?)
            .args([AS, user])
            .args(&tables)
            .status()?;
        ensure!(status.success(), "the bench as {user}: {status}");
    }
    assignment
        .give_back()
        .map_err(|errors| anyhow!("{errors:?}"))?;
    Ok(())
}

/// Measures as the user that is named first, what is named then, or all.
fn measure(words: &[String]) -> Result<()> {
    let (user, tables) = words.split_first().context("no user")?;
    let user = User::named(user).context("no such user")?;
    let ways = Ways::open(user)?;
    println!("\n### As {}\n", user.title());
    let mut wanted = TABLES.iter().filter(|(name, _)| is_wanted(name, tables));
    wanted.try_for_each(|(_, measure)| measure(&ways, user))
}

fn is_wanted(name: &str, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| word == name)
}

impl User {
    fn named(name: &str) -> Option<Self> {
        USERS.into_iter().find(|user| user.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Nobody => "nobody",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Nobody => "uid 65534, charged by process (`RLIMIT_MODE` 1)",
        }
    }

    /// Says on standard error what is being measured.
    fn progress(self, what: &str) {
        eprintln!("{}: {what} …", self.name());
    }
}
