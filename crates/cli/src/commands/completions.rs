//! `passthru completions`.

use crate::error::Error;
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Shell to print completions for
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let mut command = crate::Arguments::command();
    clap_complete::generate(args.shell, &mut command, "passthru", &mut std::io::stdout());
    Ok(())
}
