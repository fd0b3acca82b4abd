//! `cargo xtask bench dma`: builds the package `bench`, runs it on the virtual host, and writes
//! down what it prints.

use std::ffi::OsString;

use anyhow::{Context, Result};

use super::{PROFILE, section};
use crate::cargo::{cargo, succeed};
use crate::lab::{self, MachineArgs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure these alone, and write nothing down: the tables calls, orders, phases, sharing; the
    /// users root, nobody
    #[arg(value_name = "TABLE|USER")]
    only: Vec<OsString>,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    succeed(&mut cargo(&[
        "build",
        "--profile",
        PROFILE,
        "--package",
        "passthru-bench",
    ]))?;
    let words = [
        &[format!("/target/{PROFILE}/passthru-bench").into()],
        &args.only[..],
    ]
    .concat();
    let (code, output) = lab::record(&args.machine, &words)?;
    if code == 0 && args.only.is_empty() {
        section::write(
            "dma",
            &String::from_utf8(output).context("what the bench printed")?,
        )?;
    }
    Ok(code)
}
