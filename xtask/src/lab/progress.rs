//! Progress of a setup on stderr: the step, the time elapsed, and a bar if a count is known.
//!
//! Without a terminal, plain lines are printed.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Interval of plain lines about one step.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Steps of a setup.
pub(super) struct Progress {
    steps: usize,
    step: usize,
}

impl Progress {
    pub(super) fn new(steps: usize) -> Self {
        Self { steps, step: 0 }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) -> Step {
        self.step += 1;
        let title = format!("[{}/{}] {title}", self.step, self.steps);
        let terminal = stderr().is_terminal();
        if !terminal {
            eprintln!("{title}");
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{prefix} {elapsed} {spinner} {wide_msg:.dim}"));
        bar.set_prefix(title.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        Step {
            title,
            bar,
            terminal,
            began: Instant::now(),
            told: Instant::now(),
        }
    }
}

/// A step that runs until [`Step::done`].
pub(super) struct Step {
    title: String,
    bar: ProgressBar,
    terminal: bool,
    began: Instant,
    told: Instant,
}

impl Step {
    /// Sets the total count.
    pub(super) fn expect(&self, total: u64) {
        self.bar.set_length(total);
        self.bar.set_style(style(
            "{prefix} {elapsed} {bar:24} {pos}/{len} {wide_msg:.dim}",
        ));
    }

    /// Counts one.
    pub(super) fn advance(&mut self) {
        self.bar.inc(1);
        if self
            .bar
            .length()
            .is_some_and(|total| self.bar.position() > total)
        {
            self.bar.inc_length(1);
        }

        if !self.terminal && self.told.elapsed() > PLAIN_EVERY {
            self.told = Instant::now();
            let count = self.bar.position();
            let total = self.bar.length().unwrap_or_default();
            eprintln!(
                "{}: {count} of {total}, {} s",
                self.title,
                self.began.elapsed().as_secs()
            );
        }
    }

    /// Shows the current activity.
    pub(super) fn detail(&self, text: &str) {
        self.bar.set_message(text.trim().to_owned());
    }

    pub(super) fn done(self) {
        self.bar.finish_and_clear();
        eprintln!(
            "{}: done in {} s",
            self.title,
            self.began.elapsed().as_secs()
        );
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
