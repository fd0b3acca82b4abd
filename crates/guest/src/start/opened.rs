//! Opening of the objects of a plan's handover. Each descriptor gets its number in the VMM.

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use nix::unistd::Uid;
use passthru_host::{Device, Host};
use passthru_iommufd::{Accounting, Iommufd};
use passthru_pci::Address;
use passthru_qemu::{Want, WantKind};
use passthru_vfio::device::Cdev;

use crate::error::Error;
use crate::opener::{OpenMode, Opener};
use crate::plan::handover::{Delivery, HandoverItem};
use crate::plan::start_plan::StartPlan;
use crate::run::folder::GuestFolder;
use crate::run::leftovers::{Leftovers, can_be_emptied};
use crate::start::copy::sealed_copy;
use crate::start::{nvram, outside};

/// Descriptors with their numbers in the VMM.
pub(crate) type Opened = Vec<(RawFd, OwnedFd)>;

/// Opens the objects that can be opened before a device changes hands. This changes nothing, so a
/// missing object is found while the host is still as it was.
///
/// # Errors
/// - If `interrupted` returns true, then [`Error::Interrupted`].
/// - If an object cannot be opened, then [`Error::File`] or the error of that object.
pub(crate) fn before_devices(
    plan: &StartPlan,
    folder: &GuestFolder,
    interrupted: &dyn Fn() -> bool,
) -> Result<Opened, Error> {
    let mut opened = Opened::new();
    let mut errors = Vec::new();
    for item in plan.handover.items() {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        match open_item(item, plan, folder, interrupted) {
            Ok(fds) => opened.extend(fds),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => errors.push(error),
        }
    }

    Error::check_none(errors)?;
    Ok(opened)
}

/// Opens an object, unless it is opened later, with the devices.
fn open_item(
    item: &HandoverItem,
    plan: &StartPlan,
    folder: &GuestFolder,
    interrupted: &dyn Fn() -> bool,
) -> Result<Opened, Error> {
    match &item.delivery {
        Delivery::Descriptor(number) => {
            let fd = open_descriptor(item, plan, folder)?;
            Ok(fd.map(|fd| (*number, fd)).into_iter().collect())
        }
        _ if matches!(item.want.kind, WantKind::Output { .. }) => Ok(Opened::new()),
        _ => open_file(item, plan, interrupted),
    }
}

/// Opens each file of the plan that must exist for reading, and closes it. Returns one error for
/// each file that cannot be opened. Nodes and sockets are left alone, since others would notice.
///
/// Without root, a plan that needs root is not checked: root can open other files.
pub(crate) fn check_files(plan: &StartPlan) -> Vec<Error> {
    if plan.needs_root() && !Uid::effective().is_root() {
        return Vec::new();
    }
    let opener = Opener::new(&plan.user);
    let mut errors: Vec<Error> = nvram::check(&plan.domain, &opener)
        .err()
        .into_iter()
        .collect();
    let made = nvram::missing_file(&plan.domain, &opener).map(|variables| variables.path);
    for item in plan.handover.items() {
        let is_file = matches!(item.want.kind, WantKind::File { .. });
        if is_file && item.want.path() != made {
            errors.extend(check_file(item, plan).err());
        }
    }

    errors
}

fn check_file(item: &HandoverItem, plan: &StartPlan) -> Result<(), Error> {
    let path = Path::new(item.want.path().unwrap_or_default());
    let failed = |e| cannot_open(&item.want, e);
    let opener = Opener::new(&plan.user);
    match &item.delivery {
        Delivery::FdSet(_) => {
            open_in(path, OpenMode::Read, plan, &opener).map_err(failed)?;
        }
        Delivery::Copy(_) => {
            opener.open_regular(path).map_err(failed)?;
        }
        Delivery::Descriptor(_) | Delivery::Path | Delivery::Folder(_) => {}
    }

    Ok(())
}

/// Opens a file; one that only a header names, with the rights of the guest's user.
fn open_in(path: &Path, mode: OpenMode, plan: &StartPlan, opener: &Opener<'_>) -> io::Result<File> {
    if plan.header_named.contains(path) {
        opener.open_as_user(path, mode)
    } else {
        opener.open(path, mode)
    }
}

/// Opens an object that the VMM gets as one descriptor; `None` if it is opened later, with the
/// devices.
fn open_descriptor(
    item: &HandoverItem,
    plan: &StartPlan,
    folder: &GuestFolder,
) -> Result<Option<OwnedFd>, Error> {
    let want = &item.want;
    let opener = Opener::new(&plan.user);
    let failed = |source| cannot_open(want, source);
    let fd = match &want.kind {
        WantKind::Iommufd { given } => {
            let given = outside::iommufd(&want.name, given.as_ref(), &plan.named)?;
            context(given)?.into()
        }
        WantKind::Listener { .. } if is_monitor(item) => folder.listen_for_monitor()?.into(),
        WantKind::Connected { path } => opener.connect(Path::new(path)).map_err(failed)?.into(),
        WantKind::Vhost { path } => {
            let node = opener.open(Path::new(path), OpenMode::ReadWrite);
            node.map_err(failed)?.into()
        }
        WantKind::Tap { .. } => {
            return Err(failed(unsupported("taps are not supported yet".into())));
        }
        WantKind::Secret { name } => {
            let message = format!("secrets are not supported yet (secret '{name}')");
            return Err(failed(unsupported(message)));
        }
        _ => return Ok(None),
    };
    Ok(Some(fd))
}

fn unsupported(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// Objects that were opened after the devices were taken.
#[derive(Default)]
pub(crate) struct OpenedWithDevices {
    pub(crate) opened: Opened,
    /// Logs to empty once the start has succeeded.
    pub(crate) to_empty: Vec<File>,
}

/// Opens the VFIO devices, which are on their drivers now, makes the listening sockets, and opens
/// the files for output.
///
/// # Errors
/// If an object cannot be opened, then [`Error::File`] or the error of that object.
pub(crate) fn with_devices(
    plan: &StartPlan,
    host: &Host,
    devices: &[Device],
    leftovers: &mut Leftovers,
) -> Result<OpenedWithDevices, Error> {
    let mut with = OpenedWithDevices::default();
    for item in plan.handover.items() {
        let failed = |source| cannot_open(&item.want, source);
        match (&item.delivery, &item.want.kind) {
            (
                Delivery::Descriptor(number),
                WantKind::Vfio {
                    host: address,
                    given,
                    ..
                },
            ) => {
                let cdev = match outside::cdev(*address, given.as_ref(), &plan.named)? {
                    Some(cdev) => cdev,
                    None => open_cdev(host, *address, devices)?,
                };
                with.opened.push((*number, cdev.into()));
            }
            (Delivery::Descriptor(number), WantKind::Listener { path }) if !is_monitor(item) => {
                let listener = leftovers.listen(Path::new(path), &Opener::new(&plan.user));
                with.opened
                    .push((*number, listener.map_err(failed)?.into()));
            }
            (Delivery::FdSet(members), WantKind::Output { .. }) => {
                let opened = open_file(item, plan, &|| false)?;
                if members.iter().any(|(_, mode)| *mode == OpenMode::Write) {
                    with.to_empty
                        .extend(copies_to_empty(&opened).map_err(failed)?);
                }
                with.opened.extend(opened);
            }
            _ => {}
        }
    }

    Ok(with)
}

/// Returns copies of the descriptors that can be emptied: those of regular files.
fn copies_to_empty(opened: &Opened) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for (_, fd) in opened {
        let file = File::from(fd.try_clone()?);
        if can_be_emptied(&file) {
            files.push(file);
        }
    }

    Ok(files)
}

fn is_monitor(item: &HandoverItem) -> bool {
    item.want.name == StartPlan::MONITOR
}

/// Returns the given iommufd context, or opens one. Sets the context to charge memory to the
/// process that pins it (`IOMMU_OPTION_RLIMIT_MODE`).
///
/// A given context may be in use, and cannot be changed then. That is not an error.
fn context(given: Option<Iommufd>) -> Result<Iommufd, Error> {
    let Some(given) = given else {
        let iommufd = Iommufd::open()?;
        iommufd.set_accounting(Accounting::Process)?;
        return Ok(iommufd);
    };
    if given.accounting()? != Accounting::Process
        && let Err(e) = given.set_accounting(Accounting::Process)
    {
        tracing::warn!(
            "the iommufd that was handed in charges pinned memory to the user, not to the guest: \
             {e}"
        );
    }

    Ok(given)
}

/// Opens the character device of a VFIO device. Checks the open node against the address, since the
/// node's name may have passed to another device.
fn open_cdev(host: &Host, address: Address, devices: &[Device]) -> Result<Cdev, Error> {
    let name = devices
        .iter()
        .find(|device| device.address == address)
        .and_then(|device| device.cdev.as_deref());
    let Some(name) = name else {
        return Err(Error::NoCdev { device: address });
    };
    let path = host.cdev_path(name);
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

/// Opens a file in each mode of its fd set, or copies it into memory.
fn open_file(
    item: &HandoverItem,
    plan: &StartPlan,
    interrupted: &dyn Fn() -> bool,
) -> Result<Opened, Error> {
    let path = Path::new(item.want.path().unwrap_or_default());
    let failed = |e| cannot_open(&item.want, e);
    let opener = Opener::new(&plan.user);
    let mut opened = Opened::new();
    match &item.delivery {
        Delivery::FdSet(members) => {
            for (number, mode) in members {
                let file = open_in(path, *mode, plan, &opener);
                opened.push((*number, file.map_err(failed)?.into()));
            }
        }
        Delivery::Copy(number) => {
            let mut from = opener.open_regular(path).map_err(failed)?;
            let copy = sealed_copy(&item.want.name, &mut from, interrupted);
            let copy = copy.map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => Error::Interrupted,
                _ => failed(error),
            })?;
            opened.push((*number, copy));
        }
        Delivery::Descriptor(_) | Delivery::Path | Delivery::Folder(_) => {}
    }

    Ok(opened)
}

fn cannot_open(want: &Want, source: io::Error) -> Error {
    Error::File {
        what: want.name.clone(),
        path: want.path().unwrap_or_default().into(),
        source,
    }
}
