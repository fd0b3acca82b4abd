//! `cargo xtask test`: plain tests, seeds of the fuzz targets, and tests on the virtual host.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::{fuzz, lab};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: lab::MachineArgs,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    succeed(&mut cargo(&["test", "--workspace"]))?;
    fuzz::replay()?;
    lab::run_all_tests(&args.machine)
}
