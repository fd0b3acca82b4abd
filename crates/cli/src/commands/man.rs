//! `passthru man`: the manual pages, made from the definitions of the commands.

use crate::error::Error;
use crate::exit::Code;
use clap::CommandFactory;
use std::path::PathBuf;
use std::{fs, io};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write passthru.1, passthru-run.1 … into; made if it is not there
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages into {}", folder.display())]
struct Unwritable {
    folder: PathBuf,
    source: io::Error,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let written = fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(crate::Arguments::command(), &args.folder));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_the_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/by/us");
        run(&Args {
            folder: folder.clone(),
        })
        .unwrap();
        for command in crate::Arguments::command().get_subcommands() {
            let page = folder.join(format!("passthru-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        let page = std::fs::read_to_string(folder.join("passthru.1")).unwrap();
        assert!(page.contains("Exit codes"), "{page}");
    }
}
