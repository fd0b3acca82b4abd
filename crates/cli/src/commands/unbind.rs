//! `passthru unbind`: devices go back to the drivers they had.

use passthru_host::Host;
use passthru_pci::Address;

use super::bind::device_argument;
use crate::error::Error;
use crate::output::print;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", required = true, value_parser = device_argument)]
    devices: Vec<Address>,
    /// Give back devices that processes have open, or may have: the kernel asks these to close them,
    /// and waits
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
