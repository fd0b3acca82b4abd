//! `cargo xtask lab run`: a command on the virtual host.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result, bail};

use super::args::MachineArgs;
use super::boot::boot;
use super::job::{Input, Job};
use super::setup::Lab;
use super::shell::quote;
use super::streams::Record;
use crate::cargo::{Workspace, cargo, succeed};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Give the command the terminal; the default when there is no command
    #[arg(long, short)]
    interactive: bool,
    /// The command, with the working tree at /src and its build at /target and in PATH
    #[arg(last = true)]
    command: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let shell = ["bash".into()];
    let words = if args.command.is_empty() {
        &shell
    } else {
        &args.command[..]
    };
    let is_interactive = args.interactive || args.command.is_empty();
    if !is_interactive {
        return execute(&args.machine, words, Input::Forwarded);
    }
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        bail!(
            "no terminal for a shell on the virtual host; \
             give a command: cargo xtask lab run -- COMMAND"
        );
    }

    execute(&args.machine, words, Input::Terminal)
}

/// Runs a command with our standard input and returns its exit status.
pub(crate) fn command(machine: &MachineArgs, words: &[OsString]) -> Result<u8> {
    execute(machine, words, Input::Forwarded)
}

/// Runs a command without input, build or time limit. Returns its exit status and its output, which
/// is shown too.
pub(crate) fn record(machine: &MachineArgs, words: &[OsString]) -> Result<(u8, Vec<u8>)> {
    let lab = Lab::ready(machine)?;
    let record = Record::new();
    let job = Job {
        record: Some(record.clone()),
        ..job(machine, words, Input::None, None)?
    };
    let code = boot(&lab, machine, &job)?.code()?;
    Ok((code, record.take().into_bytes()))
}

fn execute(machine: &MachineArgs, words: &[OsString], input: Input) -> Result<u8> {
    let lab = Lab::ready(machine)?;
    build(machine)?;
    let limit = (input != Input::Terminal).then_some(600);
    boot(&lab, machine, &job(machine, words, input, limit)?)?.code()
}

/// Returns the job that runs a command.
pub(super) fn job(
    machine: &MachineArgs,
    words: &[OsString],
    input: Input,
    limit: Option<u64>,
) -> Result<Job> {
    let target = Workspace::read()?.target;
    std::fs::create_dir_all(&target)?;
    let limit = machine.limit(limit);
    Ok(Job {
        script: script(words)?,
        input,
        target,
        limit,
        record: None,
        silence: None,
    })
}

/// Builds `passthru` for the virtual host, unless `--no-build` is set.
pub(crate) fn build(machine: &MachineArgs) -> Result<()> {
    if machine.no_build {
        return Ok(());
    }
    let mut arguments = vec!["build", "--quiet", "--package", "passthru-cli"];
    arguments.extend(machine.profile_flag());
    succeed(&mut cargo(&arguments))
}

fn script(words: &[OsString]) -> Result<String> {
    let words: Option<Vec<_>> = words.iter().map(|word| word.to_str().map(quote)).collect();
    Ok(format!(
        "exec {}\n",
        words.context("the command is not UTF-8")?.join(" ")
    ))
}
