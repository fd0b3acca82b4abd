//! `cargo xtask lab test`: the tests that need the virtual host, all in one boot.
//!
//! Every package that has a feature `virtual-host` and test targets that require it takes part.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdout};
use std::path::Path;

use anyhow::{Result, ensure};

use super::MachineArgs;
use super::boot::{Input, Job, boot, quoted};
use super::setup::Lab;
use crate::cargo::{Executable, LAB_FEATURE, Workspace, build_tests, cargo, succeed};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Arguments for the test programs
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let words = args.filter.iter().chain(&args.arguments).cloned();
    execute(&args.machine, &words.collect::<Vec<_>>())
}

/// Runs all of them.
pub(super) fn all(machine: &MachineArgs) -> Result<u8> {
    execute(machine, &[])
}

/// What tells cargo which profile to build.
pub(super) fn profile_flag(machine: &MachineArgs) -> Option<&'static str> {
    machine.release.then_some("--release")
}

fn execute(machine: &MachineArgs, arguments: &[String]) -> Result<u8> {
    let lab = Lab::ready(machine)?;
    if !machine.no_build {
        super::run::build(machine)?;
    }
    let workspace = Workspace::read()?;
    build_examples(&workspace, machine)?;
    let executables = build_tests(&selection(&workspace, machine))?;
    ensure!(!executables.is_empty(), "no package has tests with the feature {LAB_FEATURE}");
    let script = script(&executables, arguments, stdout().is_terminal());
    let limit = machine.limit(Some(1800));
    let job = Job { script, input: Input::None, target: workspace.target, limit, record: None, silence: None };
    boot(&lab, machine, &job)?.code()
}

/// Builds the examples of these packages, which tests run.
fn build_examples(workspace: &Workspace, machine: &MachineArgs) -> Result<()> {
    let mut command = cargo(&["build", "--quiet", "--examples"]);
    let packages: BTreeSet<_> = workspace.lab_tests.iter().map(|test| &test.package).collect();
    command.args(packages.into_iter().flat_map(|package| ["--package", package]));
    succeed(command.args(profile_flag(machine)))
}

/// Cargo's arguments that select just the tests for the virtual host.
fn selection(workspace: &Workspace, machine: &MachineArgs) -> Vec<String> {
    let packages: BTreeSet<_> = workspace.lab_tests.iter().map(|test| &test.package).collect();
    let packages = packages.into_iter().flat_map(|package| {
        ["--package".into(), package.clone(), "--features".into(), format!("{package}/{LAB_FEATURE}")]
    });
    let targets = workspace.lab_tests.iter().flat_map(|test| ["--test".into(), test.target.clone()]);
    let profile = profile_flag(machine).map(Into::into);
    packages.chain(targets).chain(profile).collect()
}

/// Runs each program in its package's folder, as cargo does; fails when one did.
fn script(executables: &[Executable], arguments: &[String], color: bool) -> String {
    let mut words: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
    if !arguments.iter().any(|word| word.starts_with("--test-threads")) {
        words.push("--test-threads=1".into());
    }
    if color && !arguments.iter().any(|word| word.starts_with("--color")) {
        words.push("--color=always".into());
    }
    let words = words.join(" ");
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let runs = executables.iter().map(|Executable { path: program, package }| {
        let (package, program) = (path(package), path(program));
        format!("cd {package} && echo Running {program} >&2 && {program} {words} || failed=101\n")
    });
    format!("failed=0\n{}exit $failed\n", runs.collect::<String>())
}
