//! `passthru format`: prints a domain's XML with its defaults filled in.

use std::path::PathBuf;

use passthru_domain::Arch;
use passthru_qemu::{Capabilities, FirmwareCatalog};

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
    if args.as_written {
        return output::print(&input::parse(&document)?.format());
    }
    let parsed = input::parse_with_errors(&document)?;
    let arch = parsed.domain.os.kind.arch;
    // Which firmware a guest gets depends on the host: the XML keeps the choice open.
    let capabilities =
        Capabilities::builtin(arch.unwrap_or(Arch::X86_64)).with_firmware(FirmwareCatalog::Named);
    let mut found = parsed.examine(&capabilities, None);
    match found.check(|domain| Ok(domain.format())) {
        Some(text) => output::print(&text),
        None => Err(Error::in_document(&document, found.into_errors())),
    }
}
