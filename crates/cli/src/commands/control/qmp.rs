//! `passthru qmp`: sends a command to the monitor of a guest's QEMU.

use passthru_supervisor::control::Request;
use serde_json::Value;

use super::GuestArgs;
use crate::error::Error;
use crate::exit::Code;
use crate::output::print_json;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// The command, for example '{"execute": "query-status"}'
    #[arg(value_name = "JSON")]
    command: String,
}

/// The command is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("the command is not JSON")]
struct NotJson(#[source] serde_json::Error);

/// Prints the monitor's answer, always as JSON.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let line: Value = serde_json::from_str(&args.command)
        .map_err(|error| Error::new(Code::Usage, NotJson(error)))?;
    let answer = args.guest.call(&Request::Qmp { line })?;
    print_json(&answer)
}
