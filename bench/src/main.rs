//! `cargo xtask bench dma`: time of mapping for DMA on the virtual host, printed for
//! docs/benchmarks.md.
//!
//! The contenders are this project's container, the same ioctls called directly, and vfio-ioctls
//! with iommufd-ioctls. They are measured in turns (A B C, B C A, …), so that a slow phase of the
//! machine affects all of them. The figures are medians.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints its results and its progress"
)]

mod calls;
mod contenders;
mod machine;
mod memory;
mod orders;
mod phases;
mod sharing;
mod stats;
mod team;

use std::env;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use passthru_host::{Host, Request};
use passthru_lab::devices::{CMB_NVME, IGB, NVME};

use contenders::Contenders;

/// User that maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// Root, with all privileges: no memory is charged.
    Root,
    /// An unprivileged user, charged by process (`RLIMIT_MODE` 1).
    Nobody,
}

const USERS: [User; 2] = [User::Root, User::Nobody];

/// A table: its name, and its measurement.
type Table = (&'static str, fn(&Contenders, User) -> Result<()>);

const TABLES: [Table; 4] = [
    ("calls", calls::measure),
    ("orders", orders::measure),
    ("phases", phases::measure),
    ("sharing", sharing::measure),
];

/// Option by which the restarted process learns its user.
const AS: &str = "--as";

fn main() -> Result<()> {
    let _host = passthru_lab::host();
    let words: Vec<_> = env::args().skip(1).collect();
    match words.split_first() {
        Some((option, words)) if option == AS => measure(words),
        _ => measure_as_each(&words),
    }
}

/// Takes the devices, and measures as each user, in a process each.
///
/// `words` name the users and tables to measure; without any, all are measured.
fn measure_as_each(words: &[String]) -> Result<()> {
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
    for user in USERS.map(User::name) {
        if !is_wanted(user, &users) {
            continue;
        }
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

/// Measures as the user in the first word. The others name the tables; without any, all are
/// measured.
fn measure(words: &[String]) -> Result<()> {
    let (user, tables) = words.split_first().context("no user")?;
    let user = User::named(user).context("no such user")?;
    let contenders = Contenders::open(user)?;
    println!("\n### As {}\n", user.title());
    for (name, measure) in TABLES {
        if is_wanted(name, tables) {
            measure(&contenders, user)?;
        }
    }

    Ok(())
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

    /// Prints the current measurement to standard error.
    fn progress(self, what: &str) {
        eprintln!("{}: {what} …", self.name());
    }
}
