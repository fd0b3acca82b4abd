//! `cargo xtask bench dma`: runs the package `bench` on the virtual host, and writes down its
//! output.

use std::ffi::OsString;

use anyhow::{Context, Result};

use super::build::{PROFILE, build};
use super::section;
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
    build("passthru-bench")?;
    let mut words = vec![format!("/target/{PROFILE}/passthru-bench").into()];
    words.extend(args.only.iter().cloned());
    let (code, output) = lab::record(&args.machine, &words)?;
    if code == 0 && args.only.is_empty() {
        let text = String::from_utf8(output).context("the output of the bench")?;
        section::write("dma", &text)?;
    }

    Ok(code)
}
