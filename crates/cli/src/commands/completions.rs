//! `passthru completions`.

use crate::error::Error;
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Shell to print completions for
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let mut command = crate::Arguments::command();
    // Not to standard output: where that fails, clap panics.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "passthru", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
