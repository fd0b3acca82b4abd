//! `cargo xtask test`: all tests, the plain ones first.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::lab;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: lab::MachineArgs,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    succeed(&mut cargo(&["test", "--workspace"]))?;
    lab::test(&args.machine)
}
