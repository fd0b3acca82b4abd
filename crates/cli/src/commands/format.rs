//! `passthru format`: prints a domain's XML with its defaults filled in.

use std::path::PathBuf;

use passthru_domain::Arch;
use passthru_qemu::Capabilities;

use crate::error::Error;
use crate::{input, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    file: PathBuf,
    /// Fill in no defaults: change only the layout and old spellings
    #[arg(long)]
    as_written: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let document = input::read(&args.file)?;
    let domain = input::parse(&document)?;
    if args.as_written {
        return output::print(&domain.format());
    }
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let domain = domain
        .complete(&capabilities)
        .map_err(|e| Error::in_document(&document, e))?;
    domain
        .validate(&capabilities)
        .map_err(|e| Error::in_document(&document, e))?;
    output::print(&domain.format())
}
