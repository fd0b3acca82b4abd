//! `passthru detach`: takes a device from a guest while it runs.

use passthru_supervisor::control::Request;

use super::GuestArgs;
use super::progress::{aliases, call_with_progress};
use crate::error::Error;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// Alias of the device, or its address on the host
    #[arg(value_name = "ALIAS|DEVICE")]
    device: String,
    /// Seconds that the guest has to release the device [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86400))]
    timeout: Option<u64>,
    /// Reset a guest that does not release the device in time
    #[arg(long)]
    force: bool,
}

/// Asks the guest to release a device, and gives the device back to the host.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let request = Request::Detach {
        device: args.device.clone(),
        timeout: args.timeout,
        force: args.force,
    };
    let answer = call_with_progress(&args.guest, &request)?;
    let name = &args.guest.name;
    let text = format!("guest '{name}' has released {}\n", aliases(&answer));
    args.guest.show(&answer, &text)
}
