//! `cargo xtask bench dma`: how long mapping for DMA takes on the virtual host, beside the same ioctls called directly and
//! beside vfio-ioctls with iommufd-ioctls. What it prints becomes docs/benchmarks.md.
//!
//! Everything that is compared is measured in turns (A B C, B C A, …), so that what slows the machine down slows all of it
//! down; the figures are medians.
#![allow(clippy::print_stdout, reason = "a program that prints its results")]

mod calls;
mod machine;
mod sharing;
mod stats;
mod threads;
mod ways;

use anyhow::{Result, anyhow, ensure};
use passthru_host::{Host, Request};
use passthru_lab::devices::{CMB_NVME, IGB, NVME};
use std::env;
use std::process::Command;

/// Who maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    /// With all privileges: nothing is charged.
    Root,
    /// Without any, charged by process (`RLIMIT_MODE` 1).
    Nobody,
}

fn main() -> Result<()> {
    let _host = passthru_lab::host();
    match env::args().nth(1).as_deref() {
        None => both(),
        Some("root") => measure(User::Root),
        Some(_) => measure(User::Nobody),
    }
}

/// Takes the devices, and measures as either user, each in a process of its own.
fn both() -> Result<()> {
    let requests = [NVME, CMB_NVME, IGB].map(|address| address.parse().map(Request::managed));
    let requests = requests.into_iter().collect::<Result<Vec<_>, _>>()?;
    let assignment = Host::new().assign(&requests, Some("bench"), false)?;
    machine::reserve_huge_pages()?;
    machine::print();
    for user in ["root", "nobody"] {
        let status = Command::new(env::current_exe()?).arg(user).status()?;
        ensure!(status.success(), "the bench as {user}: {status}");
    }
    assignment.give_back().map_err(|errors| anyhow!("{errors:?}"))?;
    Ok(())
}

fn measure(user: User) -> Result<()> {
    let ways = ways::Ways::open(user)?;
    println!("\n### As {}\n", user.title());
    calls::measure(&ways)?;
    threads::measure(&ways)?;
    sharing::measure(&ways)
}

impl User {
    fn title(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Nobody => "uid 65534, charged by process (`RLIMIT_MODE` 1)",
        }
    }
}
