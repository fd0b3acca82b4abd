//! Progress of test programs, read from their output.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::output::Output;

/// Begin of the line before each program's output.
pub(super) const RUNNING: &str = "Running ";

/// Begin of the line after the output of a failed program.
pub(super) const FAILED: &str = "Failed: ";

/// Progress of the test programs of a job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Duration of each finished test, by its program and name.
    finished: BTreeMap<(String, String), Duration>,
    /// Whether a test has failed.
    pub(super) failed: bool,
}

impl Progress {
    /// Reads the standard output of a job.
    ///
    /// A test has finished when the next test of its program begins, or the program prints its
    /// summary.
    pub(super) fn read(output: &Output) -> Self {
        let mut progress = Self::default();
        let mut program = String::new();
        let mut begun: Option<(String, Instant)> = None;
        for (arrival, line) in output.lines() {
            let line = without_colors(&line);
            progress.failed |= line.ends_with("FAILED")
                || line.starts_with("test result: FAILED")
                || line.starts_with(FAILED);
            if let Some(path) = line.strip_prefix(RUNNING) {
                program = path.to_owned();
                begun = None;
            } else if let Some(rest) = line.strip_prefix("test ") {
                if let Some((name, begin)) = begun.take() {
                    let test = (program.clone(), name);
                    progress.finished.insert(test, arrival - begin);
                }
                let name = rest.split_once(" ... ").map(|(name, _)| name);
                let name = name.map(|name| name.trim_end_matches(" - should panic").to_owned());
                begun = name.map(|name| (name, arrival));
            }
        }

        progress
    }

    /// Returns whether a test of a program has finished.
    pub(super) fn has_finished(&self, program: &str, name: &str) -> bool {
        self.finished
            .contains_key(&(program.to_owned(), name.to_owned()))
    }

    /// Returns program, name and duration of each finished test.
    pub(super) fn finished(&self) -> impl Iterator<Item = (&str, &str, Duration)> {
        self.finished
            .iter()
            .map(|((program, name), duration)| (program.as_str(), name.as_str(), *duration))
    }
}

/// Removes the escape sequences that set colours: `ESC [ … m` and `ESC ( B`.
fn without_colors(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, sequence)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        let last = if sequence.starts_with('(') { 'B' } else { 'm' };
        rest = sequence.split_once(last).map_or("", |(_, after)| after);
    }

    text.push_str(rest);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running /t/a\n\nrunning 2 tests\ntest one ... ok\n\
                          test two - should panic ... ok\n\ntest result: ok. 2 passed\n\
                          Running /t/b\nrunning 2 tests\n\
                          test one ... \u{1b}[32mok\u{1b}(B\u{1b}[m\ntest slow::two ... ";

    fn read(text: &str) -> Progress {
        let mut output = Output::default();
        output.add(text.as_bytes(), Instant::now());
        Progress::read(&output)
    }

    #[test]
    fn test_in_which_the_emulator_died_has_not_finished() {
        let progress = read(OUTPUT);
        assert!(!progress.failed);
        assert!(progress.has_finished("/t/a", "one") && progress.has_finished("/t/a", "two"));
        assert!(progress.has_finished("/t/b", "one"));
        assert!(!progress.has_finished("/t/b", "slow::two"));
    }

    #[test]
    fn failed_test_is_noticed_in_colour_too() {
        for line in [
            "test x ... FAILED",
            "test x ... \u{1b}[31mFAILED\u{1b}(B\u{1b}[m",
            "test x ... noise\nFAILED",
            "test result: FAILED. 1 passed; 1 failed",
            "Failed: /t/a",
        ] {
            assert!(read(&format!("Running /t/a\n{line}\n")).failed, "{line}");
        }

        assert!(!read(OUTPUT).failed);
    }
}
