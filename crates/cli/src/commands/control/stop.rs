//! `passthru stop`: ends a guest.

use passthru_supervisor::control::Request;

use super::GuestArgs;
use crate::error::Error;
use crate::message::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// Seconds that the guest has to power off [default: those of its start]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86400))]
    timeout: Option<u64>,
    /// End the VMM without asking the guest, as a power cut does
    #[arg(long, conflicts_with = "timeout")]
    force: bool,
}

/// Ends a guest, and waits until its devices are given back.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let request = Request::Stop {
        timeout: args.timeout,
        force: args.force,
    };
    let name = &args.guest.name;
    if !args.force && !args.guest.json {
        say!("passthru: asking guest '{name}' to power off");
    }
    let answer = args.guest.call(&request)?;
    let text = format!("guest '{name}' has ended, and its devices are back\n");
    args.guest.show(&answer, &text)
}
