//! `cargo xtask bench dma`: builds the package `bench`, runs it on the virtual host, and writes down what it prints.

use anyhow::{Context, Result};

use super::section;
use crate::cargo::{cargo, succeed};
use crate::lab::{self, MachineArgs};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    succeed(&mut cargo(&["build", "--release", "--package", "passthru-bench"]))?;
    let (code, output) = lab::record(&args.machine, &["/target/release/passthru-bench".into()])?;
    if code == 0 {
        section::write("dma", &String::from_utf8(output).context("what the bench printed")?)?;
    }
    Ok(code)
}
