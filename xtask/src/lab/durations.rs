//! [`Durations`]: the time that each test took.

use std::cmp::Reverse;
use std::time::Duration;

use super::test_progress::Progress;
use crate::cargo::Executable;

/// Finished tests of all boots, and the time that each took.
#[derive(Debug, Default)]
pub(super) struct Durations(Vec<Timed>);

/// A finished test.
#[derive(Debug, PartialEq, Eq)]
struct Timed {
    program: String,
    name: String,
    duration: Duration,
}

impl Durations {
    /// Adds the tests that have finished in a boot.
    pub(super) fn add(&mut self, progress: &Progress) {
        for (program, name, duration) in progress.finished() {
            self.0.push(Timed {
                program: program.to_owned(),
                name: name.to_owned(),
                duration,
            });
        }
    }

    /// Returns the lines of a report: the time of each program's tests, and the slowest tests.
    pub(super) fn report(mut self, executables: &[Executable], count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for executable in executables {
            let path = executable.path.to_string_lossy();
            let tests = self.0.iter().filter(|test| test.program == path);
            let durations: Vec<_> = tests.map(|test| test.duration).collect();
            if !durations.is_empty() {
                let total: Duration = durations.iter().sum();
                let tests = format!("{} tests of {}", durations.len(), executable.name());
                lines.push(line(total, &tests));
            }
        }

        self.0.sort_by_key(|test| Reverse(test.duration));
        for test in self.0.iter().take(count) {
            lines.push(line(test.duration, &test.name));
        }

        lines
    }
}

fn line(duration: Duration, text: &str) -> String {
    format!("{:9.2} s  {text}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::output::Output;
    use super::*;

    fn progress(lines: &[(u64, &str)]) -> Progress {
        let begin = Instant::now();
        let mut output = Output::default();
        for (seconds, line) in lines {
            output.add(line.as_bytes(), begin + Duration::from_secs(*seconds));
        }
        Progress::read(&output)
    }

    #[test]
    fn slowest_tests_of_all_boots_come_first() {
        let mut durations = Durations::default();
        durations.add(&progress(&[
            (0, "Running /t/a\n"),
            (1, "test quick ... "),
            (2, "ok\ntest slow ... "),
            (9, "ok\ntest unfinished ... "),
        ]));
        durations.add(&progress(&[
            (0, "Running /t/a\n"),
            (5, "test unfinished ... "),
            (8, "ok\n\ntest result: ok.\n"),
        ]));
        let executables = ["a", "b"].map(|name| Executable {
            path: format!("/t/{name}").into(),
            package: format!("/src/{name}").into(),
        });

        let expected = [
            "    11.00 s  3 tests of a",
            "     7.00 s  slow",
            "     3.00 s  unfinished",
        ];

        assert_eq!(durations.report(&executables, 2), expected);
    }
}
