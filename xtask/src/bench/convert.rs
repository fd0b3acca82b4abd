//! `cargo xtask bench convert`: time and memory of `passthru convert`, relative to `passthru
//! --version`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::build::{bench_folder, build};
use super::guests::{Kind, guest};
use super::section;
use crate::cargo::root;

/// Number of runs of each command. The shortest time counts, which other work on the machine
/// disturbs least.
const ROUNDS: usize = 60;
/// Limit on the time of `convert` for the largest example, as a multiple of that of `--version`.
const MAX_TIMES_VERSION: f64 = 3.0;
/// Limit on the cost of a device among 1,000, as a multiple of that among 100.
const MAX_COST_RATIO: f64 = 1.3;
/// Limit on the memory of `convert` for 1,000 devices, in KiB.
const MAX_MEMORY: u64 = 16 << 10;

pub(super) fn run() -> Result<u8> {
    let bench = Bench {
        passthru: build("passthru-cli")?.join("passthru"),
        folder: bench_folder()?,
    };
    let rows = bench.rows()?;
    let table = table(&rows);
    print!("{table}");
    section::write("convert", &format!("{INTRODUCTION}\n\n{table}"))?;
    let missed = rows.iter().filter(|row| row.value > row.most).count();
    ensure!(missed == 0, "{missed} of the goals are missed");
    Ok(0)
}

const INTRODUCTION: &str = "The whole process, built with the profile `dist`, shortest of many \
     times. A guest of many devices has each at an address of its own, on as many PCI \
     bridges as it takes. Cost of a device: what the guest takes more than one with a single \
     device, divided by the devices.";

/// A measured value and its limit.
struct Row {
    what: String,
    value: f64,
    most: f64,
}

fn table(rows: &[Row]) -> String {
    let lines = rows
        .iter()
        .map(|row| format!("| {} | {:.2} | {} |\n", row.what, row.value, row.most));
    format!(
        "| what | measured | at most |\n|---|---|---|\n{}",
        lines.collect::<String>()
    )
}

struct Bench {
    passthru: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn rows(&self) -> Result<Vec<Row>> {
        let largest = largest_example()?;
        let name = largest
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let [version, convert] = self.times(&[&["--version"], &["convert", path(&largest)?]])?[..]
        else {
            bail!("two commands have two times");
        };
        let mut rows = vec![Row {
            what: format!("`convert` of the largest example ({name}), times of `--version`"),
            value: convert.as_secs_f64() / version.as_secs_f64(),
            most: MAX_TIMES_VERSION,
        }];
        for kind in Kind::ALL {
            rows.push(self.flatness(kind)?);
        }
        for kind in Kind::ALL {
            let what = format!("memory of `convert` of 1,000 {}, MiB", kind.name());
            let kib = self.memory(&self.guest(kind, 1000)?)?;
            rows.push(Row {
                what,
                value: kib as f64 / 1024.0,
                most: (MAX_MEMORY >> 10) as f64,
            });
        }

        Ok(rows)
    }

    /// Measures the cost of a device among 1,000, as a multiple of that among 100.
    fn flatness(&self, kind: Kind) -> Result<Row> {
        let one = self.guest(kind, 1)?;
        let hundred = self.guest(kind, 100)?;
        let thousand = self.guest(kind, 1000)?;
        let times = self.times(&[
            &["convert", path(&one)?],
            &["convert", path(&hundred)?],
            &["convert", path(&thousand)?],
        ])?;
        let [one, hundred, thousand] = times[..] else {
            bail!("three commands have three times");
        };
        let among_hundred = (hundred.as_secs_f64() - one.as_secs_f64()) / 99.0;
        let among_thousand = (thousand.as_secs_f64() - one.as_secs_f64()) / 999.0;
        Ok(Row {
            what: format!(
                "cost of a device among 1,000 {}, times of that among 100",
                kind.name()
            ),
            value: among_thousand / among_hundred,
            most: MAX_COST_RATIO,
        })
    }

    fn guest(&self, kind: Kind, devices: usize) -> Result<PathBuf> {
        let file = self.folder.join(format!("{}-{devices}.xml", kind.name()));
        fs::write(&file, guest(kind, devices))?;
        Ok(file)
    }

    /// Returns the shortest time of each command. The commands take turns, so that all meet the
    /// same machine.
    fn times(&self, commands: &[&[&str]]) -> Result<Vec<Duration>> {
        let mut times = vec![Vec::with_capacity(ROUNDS); commands.len()];
        for _ in 0..ROUNDS {
            for (times, words) in times.iter_mut().zip(commands) {
                times.push(self.time(words)?);
            }
        }

        times
            .into_iter()
            .map(|times| times.into_iter().min().context("no times"))
            .collect()
    }

    fn time(&self, words: &[&str]) -> Result<Duration> {
        let start = Instant::now();
        let status = Command::new(&self.passthru)
            .args(words)
            .stdout(Stdio::null())
            .status()?;
        let time = start.elapsed();
        ensure!(status.success(), "passthru {words:?}: {status}");
        Ok(time)
    }

    /// Returns the peak memory of `convert`, in KiB. The kernel is asked while the output is held
    /// up in a pipe, when all work is done.
    fn memory(&self, file: &Path) -> Result<u64> {
        let mut child = Command::new(&self.passthru)
            .arg("convert")
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = child.stdout.take().context("no pipe")?;
        output.read_exact(&mut [0])?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        output.read_to_end(&mut Vec::new())?;
        ensure!(
            child.wait()?.success(),
            "passthru convert {}",
            file.display()
        );
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

/// Returns the largest domain that has an expected command line.
fn largest_example() -> Result<PathBuf> {
    let files =
        fs::read_dir(root().join("crates/qemu/tests/data"))?.collect::<Result<Vec<_>, _>>()?;
    let files = files.into_iter().map(|entry| entry.path());
    files
        .filter(|file| file.extension().is_some_and(|e| e == "xml"))
        .max_by_key(|file| file.metadata().map_or(0, |metadata| metadata.len()))
        .context("no examples")
}

fn path(file: &Path) -> Result<&str> {
    file.to_str()
        .with_context(|| format!("{} is no text", file.display()))
}
