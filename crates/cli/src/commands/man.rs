//! `passthru man`: writes the manual pages, from the definitions of the commands.

use std::path::PathBuf;
use std::{fs, io};

use crate::error::Error;
use crate::exit::Code;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write passthru.1, passthru-run.1 … into; made if it is not there
    folder: PathBuf,
}

/// Failure to write the pages.
#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages into {}", folder.display())]
struct Unwritable {
    folder: PathBuf,
    source: io::Error,
}

/// Writes a page for the program and for each command.
pub(crate) fn run(args: &Args, program: clap::Command) -> Result<(), Error> {
    let written = fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(program, &args.folder));
    written.map_err(|source| {
        Error::new(
            Code::Failure,
            Unwritable {
                folder: args.folder.clone(),
                source,
            },
        )
    })
}
