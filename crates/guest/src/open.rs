//! Opens what a plan hands over, and gives each descriptor the number that it has in the VMM.

use crate::copy::sealed_copy;
use crate::error::Error;
use crate::handover::{How, Item, Mode};
use crate::outside;
use crate::plan::Plan;
use crate::state::StateDir;
use passthru_host::{Device, Host};
use passthru_iommufd::{Accounting, Iommufd};
use passthru_pci::Address;
use passthru_qemu::{Want, What};
use passthru_vfio::device::Cdev;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;

/// Descriptors with their numbers in the VMM.
pub(crate) type Opened = Vec<(RawFd, OwnedFd)>;

/// Opens what can be opened before any device changes hands and without changing anything: so that what
/// is missing is found out while the host is still as it was.
pub(crate) fn before_devices(plan: &Plan, state: &StateDir) -> Result<Opened, Error> {
    let mut opened = Opened::new();
    for item in plan.handover.items() {
        match (&item.how, &item.want.what) {
            (_, What::Vfio { .. } | What::Output { .. }) => {}
            (How::Descriptor(number), What::Iommufd { number: given, fdgroup }) => {
                let from = outside::iommufd(&item.want.name, *given, fdgroup.as_deref(), &plan.named)?;
                opened.push((*number, context(from)?.into()));
            }
            (How::Descriptor(number), What::Listener { path }) => {
                opened.push((*number, listener(item, path, state)?));
            }
            _ => opened.extend(file(item)?),
        }
    }
    Ok(opened)
}

/// Opens the VFIO devices, which are on their drivers now, and the files that output goes to.
pub(crate) fn with_devices(plan: &Plan, host: &Host, devices: &[Device]) -> Result<Opened, Error> {
    let mut opened = Opened::new();
    for item in plan.handover.items() {
        match (&item.how, &item.want.what) {
            (How::Descriptor(number), What::Vfio { host: address, number: given, .. }) => {
                let cdev = match outside::cdev(*address, *given)? {
                    Some(cdev) => cdev,
                    None => open_cdev(host, *address, devices)?,
                };
                opened.push((*number, cdev.into()));
            }
            (_, What::Output { .. }) => opened.extend(file(item)?),
            _ => {}
        }
    }
    Ok(opened)
}

/// Opens a context, or takes the one that was given, with memory charged to the process that maps it.
fn context(given: Option<Iommufd>) -> Result<Iommufd, Error> {
    let Some(given) = given else {
        let iommufd = Iommufd::open()?;
        iommufd.set_accounting(Accounting::Process)?;
        return Ok(iommufd);
    };
    // Another's context may be in use, and then stays as its owner made it.
    if given.accounting()? != Accounting::Process
        && let Err(e) = given.set_accounting(Accounting::Process)
    {
        tracing::warn!(
            "the iommufd that was handed in charges pinned memory to the user, not to the guest: {e}"
        );
    }
    Ok(given)
}

fn open_cdev(host: &Host, address: Address, devices: &[Device]) -> Result<Cdev, Error> {
    let name = devices.iter().find(|d| d.address == address).and_then(|d| d.cdev.as_deref());
    let path = host.cdev_path(name.ok_or(Error::NoCdev { device: address })?);
    Cdev::open(&path).map_err(|source| Error::Cdev { device: address, source })
}

fn listener(item: &Item, path: &str, state: &StateDir) -> Result<OwnedFd, Error> {
    if item.want.name == Plan::MONITOR {
        return Ok(state.monitor()?.into());
    }
    UnixListener::bind(path).map(Into::into).map_err(|e| cannot_open(&item.want, e))
}

fn file(item: &Item) -> Result<Opened, Error> {
    let path = item.want.path().unwrap_or_default();
    let failed = |e| cannot_open(&item.want, e);
    match &item.how {
        How::Set(members) => {
            let open =
                |(number, mode): &(RawFd, Mode)| Ok((*number, open(path, *mode).map_err(failed)?.into()));
            members.iter().map(open).collect()
        }
        How::Copy(number) => {
            let mut from = open(path, Mode::Read).map_err(failed)?;
            Ok(vec![(*number, sealed_copy(&item.want.name, &mut from).map_err(failed)?)])
        }
        How::Descriptor(_) | How::Itself | How::Folder(_) => Ok(Vec::new()),
    }
}

fn open(path: &str, mode: Mode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match mode {
        Mode::Read => options.read(true),
        Mode::ReadWrite => options.read(true).write(true),
        Mode::Write => options.write(true).create(true).truncate(true).mode(0o600),
        Mode::Append => options.append(true).create(true).mode(0o600),
    };
    options.open(path)
}

fn cannot_open(want: &Want, source: io::Error) -> Error {
    Error::File { what: want.name.clone(), path: want.path().unwrap_or_default().into(), source }
}
