//! `cargo xtask lab test`: the tests that need the virtual host, all in one boot.
//!
//! All packages take part that have a feature `virtual-host` and test targets that require it. If
//! the lab itself fails, the virtual host is booted again for the unfinished tests.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdout};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use passthru_lab::STUCK_GUEST;

use super::args::MachineArgs;
use super::boot::boot;
use super::durations::Durations;
use super::job::{Input, Job};
use super::outcome::Outcome;
use super::run::build;
use super::setup::Lab;
use super::shell::quote;
use super::streams::Record;
use super::test_progress::{FAILED, Progress, RUNNING};
use crate::cargo::{Executable, LAB_FEATURE, Workspace, build_tests, cargo, succeed};

/// Largest number of boots for one set of tests.
const BOOTS: usize = 3;

/// Number of the slowest tests that are shown unless the user chose another.
const SLOWEST: usize = 20;

/// Exit code after a failed test, as of `cargo test`.
const FAILED_TESTS: u8 = 101;

/// Exit code if the lab lost tests.
const LOST: u8 = 125;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Number of the slowest tests that are shown at the end
    #[arg(long, value_name = "COUNT", default_value_t = SLOWEST)]
    slowest: usize,
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Arguments for the test programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let filter = args.filter.as_deref();
    execute(&args.machine, filter, &args.arguments, args.slowest)
}

/// Runs all tests that need the virtual host.
pub(crate) fn run_all_tests(machine: &MachineArgs) -> Result<u8> {
    execute(machine, None, &[], SLOWEST)
}

fn execute(
    machine: &MachineArgs,
    filter: Option<&str>,
    arguments: &[String],
    slowest: usize,
) -> Result<u8> {
    let lab = Lab::ready(machine)?;
    build(machine)?;
    let workspace = Workspace::read()?;
    build_examples(&workspace, machine)?;
    let executables = build_tests(&selection(&workspace, machine))?;
    ensure!(
        !executables.is_empty(),
        "no package has tests with the feature {LAB_FEATURE}"
    );
    let mut runs: Vec<_> = executables
        .iter()
        .map(|executable| Run::filtered(executable, filter))
        .collect();
    let mut durations = Durations::default();
    let mut boots = 0;
    loop {
        let record = Record::new();
        let job = Job {
            script: copy_of_passthru(machine) + &script(&runs, arguments, stdout().is_terminal()),
            input: Input::None,
            target: workspace.target.clone(),
            limit: machine.limit(Some(3000)),
            record: Some(record.clone()),
            silence: None,
        };
        let outcome = boot(&lab, machine, &job)?;
        boots += 1;
        let progress = Progress::read(&record.take());
        durations.add(&progress);
        let Some(cause) = failure_of_the_lab(outcome) else {
            show(&durations.report(&executables, slowest));
            return outcome.code();
        };
        let selection: Vec<&str> = filter
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        runs = remaining(&executables, &selection, &progress)?;
        let count: usize = runs.iter().map(|run| run.names.len()).sum();
        if progress.failed || boots == BOOTS || !names_each_test(arguments) {
            show(&durations.report(&executables, slowest));
            eprintln!("lab: {cause}; {count} tests have not finished");
            return Ok(if progress.failed { FAILED_TESTS } else { LOST });
        }
        eprintln!("lab: {cause}; no test has failed");
        eprintln!(
            "lab: boot {} of at most {BOOTS}, for the {count} tests that have not finished",
            boots + 1
        );
    }
}

/// Prints the durations of tests.
fn show(durations: &[String]) {
    if !durations.is_empty() {
        eprintln!("lab: time of the tests, and the slowest of them:");
    }
    for line in durations {
        eprintln!("{line}");
    }
}

/// Returns whether the test programs print each test's name, from which their progress is known.
fn names_each_test(arguments: &[String]) -> bool {
    !arguments
        .iter()
        .any(|word| word == "-q" || word == "--quiet" || word.starts_with("--format"))
}

/// Returns the cause if a job ended early without a fault of the tests.
fn failure_of_the_lab(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::EmulatorDied => Some("the emulator died"),
        Outcome::Exited(STUCK_GUEST) => Some("a guest of QEMU alone stood still"),
        _ => None,
    }
}

/// A test program and a selection of its tests.
struct Run<'a> {
    executable: &'a Executable,
    filter: Option<&'a str>,
    /// Full names of the tests; empty for all that the filter selects.
    names: Vec<String>,
}

impl<'a> Run<'a> {
    fn filtered(executable: &'a Executable, filter: Option<&'a str>) -> Self {
        Self {
            executable,
            filter,
            names: Vec::new(),
        }
    }

    /// Returns the arguments that select the tests.
    fn selection(&self) -> Vec<&str> {
        if self.names.is_empty() {
            return self.filter.into_iter().collect();
        }
        ["--exact"]
            .into_iter()
            .chain(self.names.iter().map(String::as_str))
            .collect()
    }
}

/// Returns the runs of the selected tests that have not finished. Programs without such a test are
/// left out.
fn remaining<'a>(
    executables: &'a [Executable],
    selection: &[&str],
    progress: &Progress,
) -> Result<Vec<Run<'a>>> {
    let mut runs = Vec::new();
    for executable in executables {
        let mut names = tests_of(executable, selection)?;
        names.retain(|name| !progress.has_finished(&executable.path.to_string_lossy(), name));
        if !names.is_empty() {
            runs.push(Run {
                executable,
                filter: None,
                names,
            });
        }
    }

    Ok(runs)
}

/// Lists the full names of the tests that a program's arguments select, without running them.
fn tests_of(executable: &Executable, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(&executable.path);
    command.args(arguments).args(["--list", "--format=terse"]);
    let output = command
        .output()
        .with_context(|| format!("{}", executable.path.display()))?;
    ensure!(
        output.status.success(),
        "{} --list: {}",
        executable.path.display(),
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect())
}

/// Builds the examples of these packages, which tests run.
fn build_examples(workspace: &Workspace, machine: &MachineArgs) -> Result<()> {
    let mut command = cargo(&["build", "--quiet", "--examples"]);
    let packages: BTreeSet<_> = workspace
        .lab_tests
        .iter()
        .map(|test| &test.package)
        .collect();
    command.args(
        packages
            .into_iter()
            .flat_map(|package| ["--package", package]),
    );
    succeed(command.args(machine.profile_flag()))
}

/// Returns cargo's arguments that select exactly the tests for the virtual host.
fn selection(workspace: &Workspace, machine: &MachineArgs) -> Vec<String> {
    let packages: BTreeSet<_> = workspace
        .lab_tests
        .iter()
        .map(|test| &test.package)
        .collect();
    let packages = packages.into_iter().flat_map(|package| {
        [
            "--package".into(),
            package.clone(),
            "--features".into(),
            format!("{package}/{LAB_FEATURE}"),
        ]
    });
    let targets = workspace
        .lab_tests
        .iter()
        .flat_map(|test| ["--test".into(), test.target.clone()]);
    let profile = machine.profile_flag().map(Into::into);
    packages.chain(targets).chain(profile).collect()
}

/// Copies `passthru` to memory. The share forgets a program's pages at each end of the program, and
/// a build on the machine meanwhile would replace it.
fn copy_of_passthru(machine: &MachineArgs) -> String {
    let built = format!("/target/{}/passthru", machine.profile());
    let copy = "/usr/local/bin/passthru";
    format!("cp --remove-destination {built} {copy} || exit {LOST}\n")
}

/// Runs each program in its package's folder, as cargo does; fails when one did. A guest that
/// stands still ends all.
fn script(runs: &[Run], arguments: &[String], color: bool) -> String {
    let mut words: Vec<_> = arguments.iter().map(|word| quote(word)).collect();
    if !arguments
        .iter()
        .any(|word| word.starts_with("--test-threads"))
    {
        words.push("--test-threads=1".into());
    }

    if color && !arguments.iter().any(|word| word.starts_with("--color")) {
        words.push("--color=always".into());
    }
    let words = words.join(" ");
    let mut script = String::from("failed=0\n");
    for run in runs {
        let package = quote(&run.executable.package.to_string_lossy());
        let program = quote(&run.executable.path.to_string_lossy());
        let selection: Vec<_> = run.selection().into_iter().map(quote).collect();
        let selection = selection.join(" ");
        script.push_str(&format!(
            "cd {package}\necho {RUNNING:?}{program}\n{program} {words} {selection}\n\
             case $? in 0) ;; {STUCK_GUEST}) exit {STUCK_GUEST} ;; \
             *) failed={FAILED_TESTS}; echo {FAILED:?}{program} ;; esac\n"
        ));
    }

    script.push_str("exit $failed\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(path: &str) -> Executable {
        Executable {
            path: path.into(),
            package: "/".into(),
        }
    }

    /// Runs a script of the programs with the shell and returns its exit status.
    fn status(programs: &[&str]) -> Option<i32> {
        let executables: Vec<_> = programs.iter().map(|path| executable(path)).collect();
        let runs: Vec<_> = executables
            .iter()
            .map(|executable| Run::filtered(executable, None))
            .collect();
        let script = script(&runs, &[], false);
        Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap()
            .status
            .code()
    }

    #[test]
    fn program_that_fails_fails_the_script() {
        assert_eq!(status(&["/bin/true"]), Some(0));
        assert_eq!(status(&["/bin/false", "/bin/true"]), Some(101));
    }

    #[test]
    fn stuck_guest_ends_the_script() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\nexit {STUCK_GUEST}\n")).unwrap();
        assert!(
            Command::new("chmod")
                .arg("755")
                .arg(&program)
                .status()
                .unwrap()
                .success()
        );

        let program = program.to_str().unwrap();
        assert_eq!(status(&[program, "/bin/false"]), Some(STUCK_GUEST.into()));
    }

    #[test]
    fn quiet_test_programs_do_not_show_their_progress() {
        assert!(names_each_test(&["--test-threads=1".into(), "nvme".into()]));
        for word in ["-q", "--quiet", "--format=terse"] {
            assert!(!names_each_test(&[word.into()]), "{word}");
        }
    }

    #[test]
    fn names_select_exactly_these_tests() {
        let program = executable("/bin/true");
        let mut run = Run::filtered(&program, Some("nvme"));
        assert_eq!(run.selection(), ["nvme"]);
        run.names = vec!["a::b".into(), "c".into()];
        assert_eq!(run.selection(), ["--exact", "a::b", "c"]);
    }

    #[test]
    fn arguments_select_the_tests_that_remain() {
        let this = executable(std::env::current_exe().unwrap().to_str().unwrap());
        let progress = Progress::default();
        let runs = remaining(
            std::slice::from_ref(&this),
            &["names_select", "--skip=cache"],
            &progress,
        );
        let names: Vec<_> = runs
            .unwrap()
            .into_iter()
            .flat_map(|run| run.names)
            .collect();

        assert_eq!(
            names,
            ["lab::test::tests::names_select_exactly_these_tests"]
        );
    }

    #[test]
    fn only_the_lab_itself_is_a_reason_to_boot_again() {
        assert!(failure_of_the_lab(Outcome::EmulatorDied).is_some());
        assert!(failure_of_the_lab(Outcome::Exited(STUCK_GUEST)).is_some());
        for outcome in [
            Outcome::Exited(0),
            Outcome::Exited(101),
            Outcome::TimedOut,
            Outcome::Interrupted(2),
        ] {
            assert_eq!(failure_of_the_lab(outcome), None);
        }
    }
}
