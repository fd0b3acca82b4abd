//! `passthru validate`: prints the errors in a domain's XML, and notes.

use std::path::PathBuf;
use std::process::ExitCode;

use passthru_domain::{Arch, Domain, Examination, ParsedDomain};
use passthru_host::Host;
use passthru_qemu::Capabilities;
use serde_json::json;

use crate::commands::firmware_argument::FirmwareArgument;
use crate::config::Config;
use crate::document::Document;
use crate::error::Error;
use crate::exit::Code;
use crate::user::choose_user;
use crate::{diagnostics, emulator, firmware, input, output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    file: PathBuf,
    /// Print JSON: `valid`, `errors` and `notes`, with line, column and length
    #[arg(long)]
    json: bool,
    /// Check also that QEMU has the machine, devices and properties; PATH names a QEMU other than
    /// the domain's
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    qemu: Option<Option<PathBuf>>,
    /// With --qemu: user that QEMU runs as [default: as in `run`]
    #[arg(long, value_name = "NAME|UID", requires = "qemu")]
    user: Option<String>,
    #[command(flatten)]
    firmware: FirmwareArgument,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let document = input::read(&args.file)?;
    let found = examine(args, &document)?;
    if args.json {
        let errors = diagnostics::errors_json(&document, &found.errors);
        let notes = diagnostics::notes_json(&document, &found.notes);
        let all = json!({ "valid": errors.is_empty(), "errors": errors, "notes": notes });
        output::print(&format!("{all:#}\n"))?;
    } else {
        diagnostics::errors(&document, found.errors.iter(), found.more_errors);
        diagnostics::notes(&document, &found.notes, found.more_notes);
        output::print(&verdict(
            document.name(),
            found.errors.len() + found.more_errors,
        ))?;
    }

    Ok(if found.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        Code::Domain.into()
    })
}

/// Returns the last line of the output.
fn verdict(name: &str, errors: usize) -> String {
    match errors {
        0 => format!("{name}: valid\n"),
        1 => format!("{name}: 1 error\n"),
        n => format!("{name}: {n} errors\n"),
    }
}

/// Parses and validates a document, and checks the domain against the emulator.
fn examine(args: &Args, document: &Document) -> Result<Examination, Error> {
    let parsed = match ParsedDomain::parse(document.text()) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(error.into()),
    };
    let catalog = args.firmware.catalog()?;
    let capabilities = capabilities(args, &parsed.domain)?.with_firmware(catalog);
    let takes_table = args.firmware.takes_table(&parsed.domain);
    let mut found = parsed.examine(&capabilities, None);
    if takes_table {
        let note = found.domain.as_ref().and_then(firmware::table_note);
        found.notes.extend(note);
    }

    // Parts without a command line, and parts that the probed QEMU does not have.
    found.check(|domain| capabilities.check(domain));
    Ok(found)
}

/// Returns the capabilities of the probed QEMU, or the built-in ones.
fn capabilities(args: &Args, domain: &Domain) -> Result<Capabilities, Error> {
    match &args.qemu {
        Some(named) => {
            let name = domain.name.as_deref().unwrap_or_default();
            let config = Config::read(None)?;
            let user = choose_user(args.user.as_deref(), &config, name, &Host::new())?;
            emulator::probe(domain, named.as_deref(), &user)
        }
        None => Ok(Capabilities::builtin(
            domain.os.kind.arch.unwrap_or(Arch::X86_64),
        )),
    }
}
