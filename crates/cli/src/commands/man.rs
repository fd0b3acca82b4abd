//! `passthru man`: the manual pages, made from the definitions of the commands.

use crate::error::Error;
use crate::exit::Code;
use clap::CommandFactory;
use std::io;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write passthru.1, passthru-run.1 … into
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write manual pages into {}", folder.display())]
struct Unwritable {
    folder: PathBuf,
    source: io::Error,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let written = clap_mangen::generate_to(crate::Arguments::command(), &args.folder);
    written.map_err(|source| Error::new(Code::Failure, Unwritable { folder: args.folder.clone(), source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_the_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { folder: folder.path().into() }).unwrap();
        for command in crate::Arguments::command().get_subcommands() {
            let page = folder.path().join(format!("passthru-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        let page = std::fs::read_to_string(folder.path().join("passthru.1")).unwrap();
        assert!(page.contains("Exit codes"), "{page}");
    }
}
