//! `cargo xtask demo`: runs `lab/demo` on the virtual host.

use anyhow::Result;

use crate::lab::{self, MachineArgs};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    lab::command(&args.machine, &["/src/lab/demo".into()])
}
