//! `passthru completions`: prints completions for a shell.

use clap_complete::Shell;

use crate::error::Error;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Shell to print completions for
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut program: clap::Command) -> Result<(), Error> {
    // Not straight to standard output: clap panics if that fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "passthru", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
