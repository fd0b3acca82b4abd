//! Opens what a plan hands over, and gives each descriptor the number that it has in the VMM.

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::handover::{How, Item, Mode};
use crate::plan::start_plan::StartPlan;
use crate::run::folder::GuestFolder;
use crate::run::leftovers::{Leftovers, can_be_emptied};
use crate::start::copy::sealed_copy;
use crate::start::outside;
use passthru_host::{Device, Host};
use passthru_iommufd::{Accounting, Iommufd};
use passthru_pci::Address;
use passthru_qemu::{Want, What};
use passthru_vfio::device::Cdev;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

/// Descriptors with their numbers in the VMM.
pub(crate) type Opened = Vec<(RawFd, OwnedFd)>;

/// Opens what can be opened before any device changes hands and without changing anything: so that
/// what is missing is found out while the host is still as it was.
pub(crate) fn before_devices(
    plan: &StartPlan,
    folder: &GuestFolder,
    interrupted: &dyn Fn() -> bool,
) -> Result<Opened, Error> {
    let mut opened = Opened::new();
    for item in plan.handover.items() {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        match (&item.how, &item.want.what) {
            (
                How::Descriptor(number),
                What::Iommufd {
                    number: given,
                    fdgroup,
                },
            ) => {
                let from =
                    outside::iommufd(&item.want.name, *given, fdgroup.as_deref(), &plan.named)?;
                opened.push((*number, context(from)?.into()));
            }
            (How::Descriptor(number), What::Listener { .. }) if is_monitor(item) => {
                opened.push((*number, folder.listen_for_monitor()?.into()));
            }
            (How::Descriptor(number), What::Connected { path }) => {
                let socket = Opener::new(&plan.user).connect(Path::new(path));
                let socket = socket.map_err(|e| cannot_open(&item.want, e))?;
                opened.push((*number, socket.into()));
            }
            (How::Descriptor(number), What::Vhost { path }) => {
                let node = Opener::new(&plan.user).open(Path::new(path), Mode::ReadWrite);
                opened.push((
                    *number,
                    node.map_err(|e| cannot_open(&item.want, e))?.into(),
                ));
            }
            (_, What::Tap { .. }) => return Err(cannot_open(&item.want, no_tap())),
            (_, What::Secret { name }) => return Err(cannot_open(&item.want, no_secret(name))),
            (_, What::File { .. } | What::Kvm | What::NodeSet { .. }) => {
                opened.extend(file(item, plan, interrupted)?);
            }
            _ => {}
        }
    }
    Ok(opened)
}

/// Taps belong to a bridge and to somebody's firewall: who makes them is not settled here.
fn no_tap() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "`run` does not support taps yet",
    )
}

/// Nobody keeps secrets for guests here.
fn no_secret(name: &str) -> io::Error {
    let message = format!("`run` does not support secrets yet (secret '{name}')");
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// What was opened once the devices are there.
#[derive(Default)]
pub(crate) struct WithDevices {
    pub(crate) opened: Opened,
    /// Logs that are to be emptied when the guest really starts.
    pub(crate) to_empty: Vec<File>,
}

/// Opens the VFIO devices, which are on their drivers now, makes the sockets, and opens the files
/// that output goes to.
pub(crate) fn with_devices(
    plan: &StartPlan,
    host: &Host,
    devices: &[Device],
    leftovers: &mut Leftovers,
) -> Result<WithDevices, Error> {
    let mut with = WithDevices::default();
    for item in plan.handover.items() {
        match (&item.how, &item.want.what) {
            (
                How::Descriptor(number),
                What::Vfio {
                    host: address,
                    number: given,
                    ..
                },
            ) => {
                let cdev = match outside::cdev(*address, *given)? {
                    Some(cdev) => cdev,
                    None => open_cdev(host, *address, devices)?,
                };
                with.opened.push((*number, cdev.into()));
            }
            (How::Descriptor(number), What::Listener { path }) if !is_monitor(item) => {
                let listener = leftovers.listen(Path::new(path), &Opener::new(&plan.user));
                let listener = listener.map_err(|e| cannot_open(&item.want, e))?;
                with.opened.push((*number, listener.into()));
            }
            (How::Set(members), What::Output { .. }) => {
                let opened = file(item, plan, &|| false)?;
                if members.iter().any(|(_, mode)| *mode == Mode::Write) {
                    with.to_empty
                        .extend(copies(&opened).map_err(|e| cannot_open(&item.want, e))?);
                }
                with.opened.extend(opened);
            }
            _ => {}
        }
    }
    Ok(with)
}

/// Returns own descriptors of the files among them that can be emptied.
fn copies(opened: &Opened) -> io::Result<Vec<File>> {
    let files: io::Result<Vec<File>> = opened
        .iter()
        .map(|(_, fd)| fd.try_clone().map(File::from))
        .collect();
    Ok(files?.into_iter().filter(can_be_emptied).collect())
}

fn is_monitor(item: &Item) -> bool {
    item.want.name == StartPlan::MONITOR
}

/// Opens a context, or takes the one that was given, with memory charged to the process that maps
/// it.
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

/// The number in the node's name may have passed to another device: so the open node is asked.
fn open_cdev(host: &Host, address: Address, devices: &[Device]) -> Result<Cdev, Error> {
    let name = devices
        .iter()
        .find(|d| d.address == address)
        .and_then(|d| d.cdev.as_deref());
    let path = host.cdev_path(name.ok_or(Error::NoCdev { device: address })?);
    let cdev = Cdev::open(&path).map_err(|source| Error::Cdev {
        device: address,
        source,
    })?;
    if cdev.pci() == Some(address) {
        Ok(cdev)
    } else {
        Err(Error::NoCdev { device: address })
    }
}

fn file(item: &Item, plan: &StartPlan, interrupted: &dyn Fn() -> bool) -> Result<Opened, Error> {
    let path = Path::new(item.want.path().unwrap_or_default());
    let failed = |e| cannot_open(&item.want, e);
    let opener = Opener::new(&plan.user);
    match &item.how {
        How::Set(members) => {
            let open = |(number, mode): &(RawFd, Mode)| {
                let file = if plan.header_named.contains(path) {
                    opener.open_as_user(path, *mode)
                } else {
                    opener.open(path, *mode)
                };
                Ok((*number, file.map_err(failed)?.into()))
            };
            members.iter().map(open).collect()
        }
        How::Copy(number) => {
            let mut from = opener.open_regular(path).map_err(failed)?;
            let copy = sealed_copy(&item.want.name, &mut from, interrupted);
            let copy = copy.map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => Error::Interrupted,
                _ => failed(error),
            })?;
            Ok(vec![(*number, copy)])
        }
        How::Descriptor(_) | How::Itself | How::Folder(_) => Ok(Vec::new()),
    }
}

fn cannot_open(want: &Want, source: io::Error) -> Error {
    Error::File {
        what: want.name.clone(),
        path: want.path().unwrap_or_default().into(),
        source,
    }
}
