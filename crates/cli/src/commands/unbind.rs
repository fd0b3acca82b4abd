//! `passthru unbind`: gives devices back to their former drivers.

use passthru_host::{Error as HostError, Host};
use passthru_pci::Address;

use super::device_argument::device_argument;
use crate::error::Error;
use crate::exit::Code;
use crate::hint::host_hint;
use crate::message::say;
use crate::output::print;
use crate::signals::Signals;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", required = true, value_parser = device_argument)]
    devices: Vec<Address>,
    /// Also give back devices with virtual functions, and devices that processes may have open
    ///
    /// The kernel asks the processes to close a device, and waits for them. The virtual functions
    /// vanish with the driver.
    #[arg(long)]
    force: bool,
}

/// Gives devices back to their former drivers.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let host = Host::new();
    let signals = Signals::catch()?;
    let before = drivers(&host, &args.devices);
    let mut devices = Vec::new();
    for address in &args.devices {
        if !devices.contains(address) {
            devices.push(*address);
        }
    }

    let release = host.claim_to_release(&devices, args.force)?;
    let released = release.give_back(&|| signals.taken() > 0);
    let printed = print(&released.done.iter().map(line).collect::<String>());
    let untouched: Vec<String> = released.untouched.iter().map(ToString::to_string).collect();
    let interrupted = format!(
        "interrupted before these were given back: {}",
        untouched.join(", ")
    );
    match HostError::several(released.errors) {
        Some(error) => {
            if !untouched.is_empty() {
                say!("passthru: {interrupted}");
            }
            let is_as_it_was = drivers(&host, &args.devices) == before;
            // The kernel may still finish a write that is stuck.
            let code = if is_as_it_was {
                Code::for_host_error(&error)
            } else {
                Code::NotRestored
            };
            let hint = host_hint(&error);
            Err(Error::new(code, error).hint(hint))
        }
        None if !untouched.is_empty() => Err(Error::new(Code::Interrupted, interrupted)),
        None => printed,
    }
}

/// Returns the drivers that devices are on now.
fn drivers(host: &Host, devices: &[Address]) -> Vec<Option<String>> {
    devices
        .iter()
        .map(|address| host.device(*address).ok()?.driver)
        .collect()
}

/// Returns the line about a device that was given back.
fn line((address, driver): &(Address, Option<String>)) -> String {
    format!(
        "{address} is on {}\n",
        driver.as_deref().unwrap_or("no driver")
    )
}
