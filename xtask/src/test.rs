//! `cargo xtask test`: all tests: the plain ones, the seeds of the fuzz targets, those on the
//! virtual host.

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
