//! `cargo xtask lab run`: a command on the virtual host.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::{Context, Result, bail};

use super::boot::{Input, Job, boot, quoted};
use super::setup::Lab;
use super::streams::Record;
use super::{MachineArgs, test};
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
    let shell = vec!["bash".into()];
    let (words, interactive) = if args.command.is_empty() {
        (&shell, true)
    } else {
        (&args.command, args.interactive)
    };
    if interactive && !(stdin().is_terminal() && stdout().is_terminal()) {
        bail!(
            "no terminal for a shell on the virtual host; give a command: cargo xtask lab run -- COMMAND"
        );
    }
    execute(
        &args.machine,
        words,
        if interactive {
            Input::Terminal
        } else {
            Input::Forwarded
        },
    )
}

/// Runs a command with our standard input.
pub(super) fn command(machine: &MachineArgs, words: &[OsString]) -> Result<u8> {
    execute(machine, words, Input::Forwarded)
}

/// Runs a command without input, for as long as it takes, and keeps what it prints.
pub(super) fn record(machine: &MachineArgs, words: &[OsString]) -> Result<(u8, Vec<u8>)> {
    let lab = Lab::ready(machine)?;
    let record = Record::new();
    let job = Job {
        record: Some(record.clone()),
        ..job(machine, words, Input::None, None)?
    };
    let code = boot(&lab, machine, &job)?.code()?;
    Ok((code, record.take()))
}

fn execute(machine: &MachineArgs, words: &[OsString], input: Input) -> Result<u8> {
    let lab = Lab::ready(machine)?;
    if !machine.no_build {
        build(machine)?;
    }
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

/// Builds the command `passthru`.
pub(super) fn build(machine: &MachineArgs) -> Result<()> {
    let mut arguments = vec!["build", "--quiet", "--package", "passthru-cli"];
    arguments.extend(test::profile_flag(machine));
    succeed(&mut cargo(&arguments))
}

fn script(words: &[OsString]) -> Result<String> {
    let words: Option<Vec<_>> = words.iter().map(|word| word.to_str().map(quoted)).collect();
    Ok(format!(
        "exec {}\n",
        words.context("the command is not UTF-8")?.join(" ")
    ))
}
