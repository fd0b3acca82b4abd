//! `passthru convert`: a domain's QEMU command line, on any machine and with nothing but the XML.

use crate::error::Error;
use crate::exit::Code;
use crate::output;
use crate::source::Source;
use passthru_domain::{Arch, Backend, Domain};
use passthru_qemu::{Capabilities, CommandLine, Paths, Placeholders, Resolve, Style, command_line};
use std::path::PathBuf;

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
    #[arg(long, value_enum, default_value_t = BackendArg::Type1)]
    backend: BackendArg,
}

/// The two ways from a device to the guest's memory.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum BackendArg {
    /// /dev/iommu, with a character device for each VFIO device
    Iommufd,
    /// VFIO's groups and containers
    Type1,
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Iommufd => Self::Iommufd,
            BackendArg::Type1 => Self::Type1,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let source = Source::read(&args.file)?;
    let domain = source.parse()?;
    let capabilities = Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64));
    let domain = finish(domain, &source, &capabilities, args.backend.into())?;
    let style = if args.standalone {
        Style::Standalone
    } else {
        Style::Managed
    };
    let line = command_line(&domain, &capabilities, style).map_err(|e| {
        let hint = e.hint();
        Error::new(Code::Domain, e).hint(hint)
    })?;
    output::print(&if args.standalone {
        render(args, &line, &Paths)
    } else {
        render(args, &line, &Placeholders)
    })
}

/// Completes a domain, settles its backends and checks it.
pub(crate) fn finish(
    domain: Domain,
    source: &Source,
    capabilities: &Capabilities,
    unsaid: Backend,
) -> Result<Domain, Error> {
    let mut domain = domain.complete(capabilities).map_err(|e| source.error(e))?;
    domain.settle_backend(unsaid);
    domain.validate(capabilities).map_err(|e| source.error(e))?;
    Ok(domain)
}

fn render(args: &Args, line: &CommandLine, resolve: &dyn Resolve) -> String {
    if args.json {
        format!("{:#}\n", line.to_json(resolve))
    } else {
        line.pretty(resolve)
    }
}
