//! `passthru convert`: prints a domain's QEMU command line. It needs only the XML, on any machine.

use std::path::PathBuf;

use passthru_domain::{Arch, Backend};
use passthru_qemu::{Capabilities, CommandLine, Paths, Placeholders, Resolve, Style, command_line};

use crate::commands::backend_argument::{backend, check_disk_backend};
use crate::commands::firmware_argument::FirmwareArgument;
use crate::error::Error;
use crate::{diagnostics, firmware, input, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    file: PathBuf,
    /// Print a command to paste and run, in which QEMU opens all files by itself
    #[arg(long)]
    standalone: bool,
    /// Print JSON: `emulator`, `args`, and `fds` (the descriptors that the arguments need)
    #[arg(long)]
    json: bool,
    /// Backend of the devices whose XML names none
    #[arg(long, default_value = "type1", value_parser = backend())]
    backend: Backend,
    #[command(flatten)]
    firmware: FirmwareArgument,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let document = input::read(&args.file)?;
    let parsed = input::parse_with_errors(&document)?;
    let catalog = args.firmware.catalog()?;
    let arch = parsed.domain.os.kind.arch;
    let capabilities = Capabilities::builtin(arch.unwrap_or(Arch::X86_64)).with_firmware(catalog);
    let style = if args.standalone {
        Style::Standalone
    } else {
        Style::Managed
    };
    let takes_table = args.firmware.takes_table(&parsed.domain);
    let mut found = parsed.examine(&capabilities, Some(args.backend));
    if takes_table && let Some(note) = found.domain.as_ref().and_then(firmware::table_note) {
        diagnostics::notes(&document, &[note], 0);
    }

    found.check(|domain| check_disk_backend(domain, args.backend));
    let Some(line) = found.check(|domain| command_line(domain, &capabilities, style)) else {
        return Err(Error::in_document(&document, found.into_errors()));
    };
    output::print(&if args.standalone {
        render(args, &line, &Paths)
    } else {
        render(args, &line, &Placeholders)
    })
}

fn render(args: &Args, line: &CommandLine, resolve: &dyn Resolve) -> String {
    if args.json {
        format!("{:#}\n", line.to_json(resolve))
    } else {
        line.pretty(resolve)
    }
}
