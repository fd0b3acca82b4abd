//! `passthru bind`: binds devices to VFIO drivers, until `passthru unbind`.

use passthru_host::{Device, DriverChange, Error as HostError, Host, Request};
use passthru_pci::Address;

use super::device_argument::device_argument;
use crate::error::Error;
use crate::host::this_host;
use crate::message::say;
use crate::output::print;
use crate::signals::Signals;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// PCI addresses (0000:01:00.0, 01:00.0) or libvirt's names (pci_0000_01_00_0)
    #[arg(value_name = "DEVICE", required = true, value_parser = device_argument)]
    devices: Vec<Address>,
    /// Driver to bind to [default: vfio-pci, or its variant for the device]
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Also bind devices that are or may be in use, or whose group is not free; print warnings
    #[arg(long)]
    force: bool,
    /// Show the changes without making them
    #[arg(long)]
    dry_run: bool,
}

/// Binds devices to VFIO drivers: all or none.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let host = this_host();
    let requests: Vec<Request> = args
        .devices
        .iter()
        .map(|address| request(*address, args))
        .collect();
    if args.force {
        for objection in host.check(&requests)? {
            say!("warning: {objection}");
        }
    }

    if args.dry_run {
        return print(&plan(&host, &requests, args.force)?);
    }
    let signals = Signals::catch()?;
    let assignment = host.assign_unless(&requests, None, args.force, &|| signals.taken() > 0)?;
    let lines: String = assignment.devices().iter().map(line).collect();
    assignment.keep();
    print(&lines)
}

fn request(address: Address, args: &Args) -> Request {
    Request {
        driver: args.driver.clone(),
        ..Request::managed(address)
    }
}

/// Returns the text of a dry run.
fn plan(host: &Host, requests: &[Request], force: bool) -> Result<String, HostError> {
    if !force && let Some(error) = HostError::several(host.check(requests)?) {
        return Err(error);
    }
    let mut text = String::new();
    for request in requests {
        let address = request.address;
        text += &match host.change(request)? {
            Some(DriverChange {
                from: Some(from),
                to,
                ..
            }) if from == to => format!("{address}: stays on {to}\n"),
            Some(DriverChange {
                from: Some(from),
                to,
                ..
            }) => format!("{address}: from {from} to {to}\n"),
            Some(DriverChange { to, .. }) => format!("{address}: to {to}\n"),
            None => String::new(),
        };
    }

    Ok(text)
}

/// Returns the line about a device that was bound.
fn line(device: &Device) -> String {
    let driver = device.driver.as_deref().unwrap_or("no driver");
    match &device.cdev {
        Some(cdev) => format!(
            "{} is on {driver}: /dev/vfio/devices/{cdev}\n",
            device.address
        ),
        None => format!("{} is on {driver}\n", device.address),
    }
}
