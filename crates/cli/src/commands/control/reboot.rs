//! `passthru reboot`: starts a guest again.

use passthru_supervisor::control::Request;

use super::GuestArgs;
use crate::error::Error;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// Reset the machine without asking the guest, as a reset button does
    #[arg(long)]
    reset: bool,
}

/// Asks a guest to shut down, after which it starts again; or resets it.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let answer = args.guest.call(&Request::Reboot { reset: args.reset })?;
    let name = &args.guest.name;
    let text = if args.reset {
        format!("guest '{name}' was reset\n")
    } else {
        format!("asked guest '{name}' to reboot\n")
    };
    args.guest.show(&answer, &text)
}
