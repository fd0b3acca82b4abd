//! Opening of the objects of a plan's handover. Each descriptor gets its number in the VMM.

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use nix::unistd::Uid;
use passthru_host::Host;
use passthru_iommufd::{Accounting, Iommufd};
use passthru_pci::Address;
use passthru_qemu::{Want, WantKind};
use passthru_vfio::device::Cdev;
use rustix::fs::FileType;

use crate::error::Error;
use crate::opener::{OpenMode, Opener};
use crate::plan::handover::{Delivery, HandoverItem};
use crate::plan::start_plan::StartPlan;
use crate::start::copy::sealed_copy;
use crate::start::{nvram, outside};

/// Descriptors with their numbers in the VMM.
pub(crate) type Opened = Vec<(RawFd, OwnedFd)>;

/// Opens an object of the handover.
///
/// # Errors
/// - If `interrupted` returns true, then [`Error::Interrupted`].
/// - If the object cannot be opened, then [`Error::File`] or the error of that object.
pub(crate) fn open_item(
    item: &HandoverItem,
    plan: &StartPlan,
    host: &Host,
    interrupted: &dyn Fn() -> bool,
) -> Result<Opened, Error> {
    match &item.delivery {
        Delivery::Descriptor(number) => {
            let fd = open_descriptor(item, plan, host)?;
            Ok(fd.map(|fd| (*number, fd)).into_iter().collect())
        }
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

/// Opens an object that the VMM gets as one descriptor; `None` for one that nothing opens yet.
fn open_descriptor(
    item: &HandoverItem,
    plan: &StartPlan,
    host: &Host,
) -> Result<Option<OwnedFd>, Error> {
    let want = &item.want;
    let opener = Opener::new(&plan.user);
    let failed = |source| cannot_open(want, source);
    let fd = match &want.kind {
        WantKind::Iommufd { given } => {
            let given = outside::iommufd(&want.name, given.as_ref(), &plan.named)?;
            iommufd_context(given)?.into()
        }
        WantKind::Vfio {
            host: address,
            given,
            ..
        } => match outside::cdev(*address, given.as_ref(), &plan.named)? {
            Some(cdev) => cdev.into(),
            None => open_cdev(host, *address)?.into(),
        },
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

/// Returns copies of the descriptors that can be emptied: those of regular files.
pub(crate) fn copies_to_empty(opened: &Opened) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for (_, fd) in opened {
        let file = File::from(fd.try_clone()?);
        if can_be_emptied(&file) {
            files.push(file);
        }
    }

    Ok(files)
}

/// Returns whether a file can be emptied: a regular file, not a device.
fn can_be_emptied(file: &File) -> bool {
    rustix::fs::fstat(file)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

/// Returns the given iommufd context, or opens one. Sets the context to charge memory to the
/// process that pins it (`IOMMU_OPTION_RLIMIT_MODE`).
///
/// A given context may be in use, and cannot be changed then. That is not an error.
pub(crate) fn iommufd_context(given: Option<Iommufd>) -> Result<Iommufd, Error> {
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
pub(crate) fn open_cdev(host: &Host, address: Address) -> Result<Cdev, Error> {
    let device = host.device(address)?;
    let Some(name) = device.cdev.as_deref() else {
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

pub(crate) fn cannot_open(want: &Want, source: io::Error) -> Error {
    Error::File {
        what: want.name.clone(),
        path: want.path().unwrap_or_default().into(),
        source,
    }
}
