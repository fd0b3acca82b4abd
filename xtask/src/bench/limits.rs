//! `cargo xtask bench limits`: time and memory of `passthru validate` for documents at the limits
//! of what is read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lists::{LISTS, List};
use super::{PROFILE, section};
use crate::cargo::{Workspace, cargo, succeed};

/// Number of runs of each document; the shortest time counts.
const ROUNDS: usize = 7;
/// Twice as many elements take at most so many times as long.
const LINEAR: f64 = 2.2;
/// KiB of memory that a document takes at most.
const MOST_MEMORY: u64 = 64 << 10;

const INTRODUCTION: &str = "`passthru validate`, built with the profile `dist`, on domains with as many elements of a kind as are read, and with half as many. \
     Time: of the process on a processor, shortest of seven; the time of a domain without devices is taken off. Memory: the most that the larger one had.";

pub(super) fn run() -> Result<u8> {
    succeed(&mut cargo(&[
        "build",
        "--profile",
        PROFILE,
        "--package",
        "passthru-cli",
    ]))?;
    let target = Workspace::read()?.target;
    let bench = Bench {
        passthru: target.join(PROFILE).join("passthru"),
        folder: target.join("bench"),
    };
    fs::create_dir_all(&bench.folder)?;
    let rows = LISTS
        .iter()
        .map(|list| bench.row(list))
        .collect::<Result<Vec<_>>>()?;
    section::write("limits", &format!("{INTRODUCTION}\n\n{}", table(&rows)))?;
    let missed = rows
        .iter()
        .filter(|row| row.ratio > LINEAR || (row.small && row.memory > MOST_MEMORY))
        .count();
    ensure!(missed == 0, "{missed} of the goals are missed");
    Ok(0)
}

struct Row {
    name: &'static str,
    count: usize,
    /// Time of twice as many elements, as a multiple.
    ratio: f64,
    /// KiB.
    memory: u64,
    /// Whether the goal of memory holds.
    small: bool,
}

fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "| elements | number | time, times of half as many (at most {LINEAR}) | memory, MiB (at most {}) |\n\
         |---|---|---|---|\n",
        MOST_MEMORY >> 10
    );
    for row in rows {
        let memory = row.memory as f64 / 1024.0;
        let goal = if row.small { "" } else { " (no goal)" };
        let count = thousands(row.count);
        table += &format!(
            "| {} | {count} | {:.2} | {memory:.1}{goal} |\n",
            row.name, row.ratio
        );
    }
    table
}

fn thousands(count: usize) -> String {
    format!("{},{:03}", count / 1000, count % 1000)
}

struct Bench {
    passthru: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn row(&self, list: &List) -> Result<Row> {
        let count = list.most();
        let files = [
            self.document(list, 0)?,
            self.document(list, count / 2)?,
            self.document(list, count)?,
        ];
        let mut shortest = [Duration::MAX; 3];
        let mut memory = 0;
        for _ in 0..ROUNDS {
            for (shortest, file) in shortest.iter_mut().zip(&files) {
                let (time, peak) = self.measure(file)?;
                *shortest = time.min(*shortest);
                memory = peak.max(memory);
            }
        }
        let [none, half, all] = shortest.map(|time| time.as_secs_f64());
        let ratio = (all - none) / (half - none);
        let row = Row {
            name: list.name,
            count,
            ratio,
            memory,
            small: list.small,
        };
        println!(
            "{}: {:.3} s, {:.3} s, times {:.2}, {} KiB",
            row.name, half, all, row.ratio, row.memory
        );
        Ok(row)
    }

    fn document(&self, list: &List, count: usize) -> Result<PathBuf> {
        let file = self.folder.join(format!(
            "list-{}-{count}.xml",
            list.name.replace([' ', '/'], "-")
        ));
        fs::write(&file, list.document(count))?;
        Ok(file)
    }

    /// Returns the time of a run on a processor, and the most KiB of memory that it had.
    fn measure(&self, file: &Path) -> Result<(Duration, u64)> {
        let mut child = Command::new(&self.passthru)
            .arg("validate")
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (mut peak, mut time) = (0, Duration::ZERO);
        loop {
            // The kernel shows neither of a process that has ended: the last answer before counts.
            let read = |name| {
                fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default()
            };
            peak = peak_of(&read("status")).unwrap_or(peak);
            time = time.max(time_of(&read("schedstat")).unwrap_or_default());
            if child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let mut said = String::new();
        child
            .stdout
            .take()
            .context("no pipe")?
            .read_to_string(&mut said)?;
        ensure!(
            said.contains(file.to_str().context("a path that is no text")?),
            "{said}"
        );
        Ok((time, peak))
    }
}

/// Returns the time of a task on a processor, from its `schedstat`. Other work on the machine is
/// not in it.
fn time_of(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(
        schedstat.split(' ').next()?.parse().ok()?,
    ))
}

/// Returns `VmHWM` of a process's status.
fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
