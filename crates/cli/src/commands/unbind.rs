//! `passthru unbind`: devices go back to the drivers they had.

use passthru_host::Host;
use passthru_pci::Address;

use super::bind::device_argument;
use crate::error::Error;
use crate::output::print;

/// Gives devices back to the drivers they had, or to those that the kernel finds for them
///
/// Also for what a guest left behind when `passthru run` was killed.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", required = true, value_parser = device_argument)]
    devices: Vec<Address>,
    /// Don't mind processes that have a device open: the kernel asks them to let go, and waits until they do
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let drivers = Host::new().release(&args.devices, args.force)?;
    let text = |(address, driver): (&Address, &Option<String>)| {
        format!("{address} is on {}\n", driver.as_deref().unwrap_or("no driver"))
    };
    print(&args.devices.iter().zip(&drivers).map(text).collect::<String>())
}
