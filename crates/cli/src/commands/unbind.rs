//! `passthru unbind`: devices go back to the drivers they had.

use passthru_host::Host;
use passthru_pci::Address;

use super::bind::device_argument;
use crate::error::Error;
use crate::exit::Code;
use crate::output::print;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", required = true, value_parser = device_argument)]
    devices: Vec<Address>,
    /// Give back devices that processes have open, or may have: the kernel asks these to close them,
    /// and waits. Also devices with virtual functions, which vanish then
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let host = Host::new();
    let drivers = || args.devices.iter().map(|address| host.device(*address).ok()?.driver).collect();
    let before: Vec<Option<String>> = drivers();
    let drivers = host.release(&args.devices, args.force).map_err(|error| {
        let is_as_it_was = drivers() == before;
        let code = if is_as_it_was { Code::Host } else { Code::NotRestored };
        let hint = error.hint();
        Error::new(code, error).hint(hint)
    })?;
    let text = |(address, driver): (&Address, &Option<String>)| {
        format!("{address} is on {}\n", driver.as_deref().unwrap_or("no driver"))
    };
    print(&args.devices.iter().zip(&drivers).map(text).collect::<String>())
}
