//! `passthru unbind`: devices go back to the drivers they had.

use passthru_host::{Error as HostError, Host, Use};
use passthru_pci::Address;

use super::bind::device_argument;
use crate::error::Error;
use crate::exit::Code;
use crate::message::say;
use crate::output::print;
use crate::signals::Signals;

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

/// Result for each of several devices.
#[derive(Debug, Default)]
struct Released {
    /// Devices that were given back, each with its driver.
    done: Vec<(Address, Option<String>)>,
    /// Reasons for which devices were not given back.
    errors: Vec<HostError>,
    /// Devices that were not touched, since a signal came before.
    untouched: Vec<Address>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let host = Host::new();
    let signals = Signals::catch()?;
    let drivers = || args.devices.iter().map(|address| host.device(*address).ok()?.driver).collect();
    let before: Vec<Option<String>> = drivers();
    look(&host, args)?;
    let released = release(&host, args, &|| signals.taken() > 0);
    let printed = print(&released.done.iter().map(line).collect::<String>());
    let untouched: Vec<String> = released.untouched.iter().map(ToString::to_string).collect();
    let interrupted = format!("interrupted before these were given back: {}", untouched.join(", "));
    match HostError::several(released.errors) {
        Some(error) => {
            if !untouched.is_empty() {
                say!("passthru: {interrupted}");
            }
            let is_as_it_was = drivers() == before;
            let code = if is_as_it_was { Code::Host } else { Code::NotRestored };
            let hint = error.hint();
            Err(Error::new(code, error).hint(hint))
        }
        None if !untouched.is_empty() => Err(Error::new(Code::Interrupted, interrupted)),
        None => printed,
    }
}

fn line((address, driver): &(Address, Option<String>)) -> String {
    format!("{address} is on {}\n", driver.as_deref().unwrap_or("no driver"))
}

/// Looks at all devices before the first is touched.
fn look(host: &Host, args: &Args) -> Result<(), HostError> {
    let usage = (!args.force).then(|| host.usage());
    let mut errors = Vec::new();
    for address in &args.devices {
        let device = match host.device(*address) {
            Ok(device) => device,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        if let Some(owner) = host.owner(*address) {
            errors.push(HostError::Claimed { device: *address, owner });
            continue;
        }
        let Some(usage) = usage.as_ref().filter(|_| device.on_vfio()) else { continue };
        let mut holders = usage.of(&device).known;
        holders.retain(|used| matches!(used, Use::Process { .. }));
        if !holders.is_empty() {
            errors.push(HostError::Held { device: *address, holders });
        }
    }
    HostError::several(errors).map_or(Ok(()), Err)
}

/// Gives devices back, one after the other, until interrupted. One that fails stops no other.
fn release(host: &Host, args: &Args, interrupted: &dyn Fn() -> bool) -> Released {
    let mut released = Released::default();
    for (at, address) in args.devices.iter().enumerate() {
        if interrupted() {
            released.untouched.extend(args.devices.iter().skip(at));
            break;
        }
        match host.release(&[*address], args.force) {
            Ok(drivers) => {
                released.done.extend(drivers.into_iter().map(|driver| (*address, driver)));
            }
            Err(error) => released.errors.push(error),
        }
    }
    released
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use tempfile::TempDir;

    /// Makes a host with two devices without a driver.
    fn host() -> (TempDir, Args) {
        let root = tempfile::tempdir().unwrap();
        let devices = ["0000:01:00.0", "0000:02:00.0"];
        for address in devices {
            let dir = root.path().join("sys/bus/pci/devices").join(address);
            fs::create_dir_all(&dir).unwrap();
            for (file, text) in [("vendor", "0x1b36"), ("device", "0x0010"), ("class", "0x010802")] {
                fs::write(dir.join(file), text).unwrap();
            }
        }
        fs::create_dir(root.path().join("proc")).unwrap();
        let devices = devices.map(|address| address.parse().unwrap()).to_vec();
        (root, Args { devices, force: true })
    }

    #[test]
    fn signal_between_two_devices_leaves_the_second() {
        let (root, args) = host();
        let host = Host::at(root.path());
        let asked = Cell::new(0);
        let interrupted = || asked.replace(asked.get() + 1) > 0;
        let released = release(&host, &args, &interrupted);
        assert_eq!(released.done, [(args.devices[0], None)], "{:?}", released.errors);
        assert_eq!(released.untouched, [args.devices[1]]);
        assert!(released.errors.is_empty(), "{released:?}");
        // The second was not even claimed.
        let locks = root.path().join("run/passthru/devices");
        assert!(locks.join("0000:01:00.0.lock").exists());
        assert!(!locks.join("0000:02:00.0.lock").exists());
    }

    #[test]
    fn all_devices_are_looked_at_before_the_first_is_touched() {
        let (root, args) = host();
        let host = Host::at(root.path());
        let claim = host.claim(args.devices[1], None).unwrap();
        let error = look(&host, &args).unwrap_err();
        assert!(matches!(error, HostError::Claimed { device, .. } if device == args.devices[1]), "{error}");
        drop(claim);
        look(&host, &args).unwrap();
        fs::remove_dir_all(root.path().join("sys/bus/pci/devices/0000:02:00.0")).unwrap();
        assert!(matches!(look(&host, &args), Err(HostError::NotFound { .. })));
    }
}
