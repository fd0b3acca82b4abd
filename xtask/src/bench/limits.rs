//! `cargo xtask bench limits`: time and memory of `passthru validate` for documents at the limits
//! of the reader.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::build::{bench_folder, build};
use super::lists::{LISTS, List};
use super::section;

/// Number of runs of each document. The shortest time counts.
const ROUNDS: usize = 7;
/// Limit on the time for twice as many elements, as a multiple.
const MAX_TIME_RATIO: f64 = 2.2;
/// Limit on the memory for a document, in KiB.
const MAX_MEMORY: u64 = 64 << 10;

const INTRODUCTION: &str = "`passthru validate`, built with the profile `dist`, on domains with \
     as many elements of a kind as are read, and with half as many. \
     Time: of the process on a processor, shortest of seven; the time of a domain without devices \
     is taken off. Memory: the most that the larger one had.";

pub(super) fn run() -> Result<u8> {
    let bench = Bench {
        passthru: build("passthru-cli")?.join("passthru"),
        folder: bench_folder()?,
    };
    let rows = LISTS
        .iter()
        .map(|list| bench.row(list))
        .collect::<Result<Vec<_>>>()?;
    section::write("limits", &format!("{INTRODUCTION}\n\n{}", table(&rows)))?;
    let missed = rows
        .iter()
        .filter(|row| row.ratio > MAX_TIME_RATIO || (row.small && row.memory > MAX_MEMORY))
        .count();
    ensure!(missed == 0, "{missed} of the goals are missed");
    Ok(0)
}

struct Row {
    name: &'static str,
    count: usize,
    /// Time for twice as many elements, as a multiple.
    ratio: f64,
    /// Peak memory in KiB.
    memory: u64,
    /// Whether [`MAX_MEMORY`] applies.
    small: bool,
}

fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "| elements | number | time, times of half as many (at most {MAX_TIME_RATIO}) \
         | memory, MiB (at most {}) |\n\
         |---|---|---|---|\n",
        MAX_MEMORY >> 10
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

    /// Returns the processor time of a run, and its peak memory in KiB.
    fn measure(&self, file: &Path) -> Result<(Duration, u64)> {
        let mut child = Command::new(&self.passthru)
            .arg("validate")
            .arg(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let folder = Path::new("/proc").join(child.id().to_string());
        let mut peak = 0;
        let mut time = Duration::ZERO;
        loop {
            // The files of an ended process are gone: the last contents before count.
            let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
            peak = parse_peak(&status).unwrap_or(peak);
            let schedstat = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
            time = time.max(parse_time(&schedstat).unwrap_or_default());
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

/// Parses the processor time of a task from its `schedstat`, without the time of other work.
fn parse_time(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(
        schedstat.split(' ').next()?.parse().ok()?,
    ))
}

/// Parses `VmHWM` of a process's status, in KiB.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
