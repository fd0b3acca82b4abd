//! `passthru format`: a domain's XML with all that it leaves out filled in.

use crate::error::Error;
use crate::output;
use crate::source::Source;
use passthru_domain::Arch;
use passthru_qemu::Capabilities;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    file: PathBuf,
    /// Fill in no defaults: change only the layout and old spellings
    #[arg(long)]
    as_written: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let source = Source::read(&args.file)?;
    let domain = source.parse()?;
    if args.as_written {
        return output::print(&domain.format());
    }
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let domain = domain
        .complete(&capabilities)
        .map_err(|e| source.error(e))?;
    domain
        .validate(&capabilities)
        .map_err(|e| source.error(e))?;
    output::print(&domain.format())
}
