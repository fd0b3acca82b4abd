//! `cargo xtask lab loop`: many small guests in a row, to measure how often the emulation loses
//! one.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::args::MachineArgs;
use super::boot::boot;
use super::job::{Input, Job};
use super::outcome::Outcome;
use super::setup::Lab;
use super::streams::Record;

/// Time that the virtual host needs to report a stuck guest, in seconds.
const REPORTING: u64 = 120;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Number of guests
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Start them through UEFI firmware
    #[arg(long)]
    uefi: bool,
    /// Seconds without output on its console after which a guest stands still
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// Runs the guests. Returns 1 if one was lost.
pub(super) fn run(args: &Args) -> Result<u8> {
    let lab = Lab::ready(&args.machine)?;
    let mut tally = Tally::default();
    while tally.count() < args.count {
        let before = tally.count();
        let record = Record::new();
        let outcome = boot(&lab, &args.machine, &job(args, &record, before + 1)?)?;
        tally.read(&record.take().text());
        match outcome {
            Outcome::EmulatorDied => tally.died += 1,
            Outcome::StoodStill => tally.host_stood_still += 1,
            Outcome::Exited(0) => ensure!(tally.count() > before, "the virtual host ran no guest"),
            outcome => {
                println!("{tally}");
                return outcome.code();
            }
        }
    }

    println!("{tally}");
    Ok(u8::from(tally.lost() > 0))
}

fn job(args: &Args, record: &Record, first: u32) -> Result<Job> {
    let kind = if args.uefi { "uefi" } else { "bios" };
    let words = [
        "/src/lab/loop",
        &first.to_string(),
        &args.count.to_string(),
        kind,
    ];
    let mut words: Vec<_> = words.map(Into::into).into();
    words.push(args.patience.to_string().into());
    let job = super::run::job(&args.machine, &words, Input::None, None)?;
    let silence = Some(Duration::from_secs(2 * args.patience + REPORTING));
    Ok(Job {
        record: Some(record.clone()),
        silence,
        ..job
    })
}

/// Number of guests by their end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    ended: u32,
    stood_still: u32,
    failed: u32,
    /// Guests in which the emulator of the virtual host died.
    died: u32,
    /// Guests in which the whole virtual host got stuck.
    host_stood_still: u32,
}

impl Tally {
    /// Counts the guests in the output of `lab/loop`.
    fn read(&mut self, output: &str) {
        for line in output.lines() {
            let Some((_, end)) = line
                .strip_prefix("guest ")
                .and_then(|rest| rest.split_once(": "))
            else {
                continue;
            };
            if end.starts_with("ended") {
                self.ended += 1;
            } else if end.starts_with("stood still") {
                self.stood_still += 1;
            } else if end.starts_with("failed") {
                self.failed += 1;
            }
        }
    }

    fn count(&self) -> u32 {
        self.ended + self.lost()
    }

    fn lost(&self) -> u32 {
        self.stood_still + self.failed + self.died + self.host_stood_still
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        if count == 0 {
            return f.write_str("no guest has ended");
        }
        write!(f, "{count} guests, {} ended by themselves", self.ended)?;
        let causes = [
            (self.stood_still, "stood still"),
            (self.failed, "failed"),
            (self.died, "ended with the emulator"),
            (self.host_stood_still, "stood still with the virtual host"),
        ];
        for (number, cause) in causes.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, ", {number} {cause}")?;
        }
        let (low, high) = interval(self.lost(), count);
        let percent = 100.0 * f64::from(self.lost()) / f64::from(count);
        write!(
            f,
            "; lost {percent:.1} % (95 % interval {:.1} to {:.1} %)",
            100.0 * low,
            100.0 * high
        )
    }
}

/// Returns the 95 % confidence interval (Wilson) of a rate observed as `hits` of `count`.
fn interval(hits: u32, count: u32) -> (f64, f64) {
    const Z: f64 = 1.96;
    let count = f64::from(count);
    let rate = f64::from(hits) / count;
    let center = rate + Z * Z / (2.0 * count);
    let margin = Z * (rate * (1.0 - rate) / count + Z * Z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + Z * Z / count;
    (
        ((center - margin) / scale).max(0.0),
        ((center + margin) / scale).min(1.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_guests_are_counted_and_others_are_not() {
        let mut tally = Tally {
            died: 1,
            ..Tally::default()
        };
        tally.read(
            "guest 1: ended in 7 s\nguest 2: stood still after 70 s (ticks 1 2)\n--- \
             monitor\nguest x\n",
        );
        tally.read("guest 3: failed with status 1\nguest 4: ended in 8 s\n");
        let expected = Tally {
            ended: 2,
            stood_still: 1,
            failed: 1,
            died: 1,
            host_stood_still: 0,
        };

        assert_eq!(tally, expected);
        assert_eq!(
            tally.to_string(),
            "5 guests, 2 ended by themselves, 1 stood still, 1 failed, 1 ended with the emulator; \
             lost 60.0 % (95 % interval 23.1 to 88.2 %)"
        );
    }

    #[test]
    fn interval_of_0_in_300_reaches_1_3_percent() {
        let (low, high) = interval(0, 300);
        assert!(low < 1e-9 && (high - 0.0126).abs() < 1e-3, "{low} {high}");
    }
}
