//! `cargo xtask demo`: boots the virtual host and runs `lab/demo` there, which tells the story.

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
