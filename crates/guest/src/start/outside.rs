//! Descriptors that the caller handed in, by number or by name. Each is
//! checked before it is used.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};

use passthru_domain::Descriptor;
use passthru_iommufd::Iommufd;
use passthru_pci::Address;
use passthru_vfio::device::Cdev;

use crate::error::Error;
use crate::start::inherited;

/// Numbers of open descriptors, by the names that the caller gave them.
pub type NamedFds = BTreeMap<String, u32>;

/// Returns the iommufd that the caller handed in for an iommufd object, if any.
///
/// # Errors
/// - If no descriptor has the name, then [`Error::UnknownDescriptor`].
/// - If the descriptor is not open, then [`Error::NotOpen`].
/// - If the descriptor is not an iommufd, then [`Error::NotIommufd`].
pub(crate) fn iommufd(
    id: &str,
    given: Option<&Descriptor>,
    named: &NamedFds,
) -> Result<Option<Iommufd>, Error> {
    let Some(given) = given else {
        return Ok(None);
    };
    let number = number_of(given, named)?;
    let what = format!("the iommufd object '{id}'");
    let fd = open_number(number, &what, "/dev/iommu")?;
    Iommufd::from_fd(fd)
        .map(Some)
        .map_err(|source| Error::NotIommufd {
            number,
            id: id.into(),
            source,
        })
}

/// Returns the VFIO device that the caller handed in for a device, if any.
///
/// # Errors
/// - If no descriptor has the name, then [`Error::UnknownDescriptor`].
/// - If the descriptor is not open, then [`Error::NotOpen`].
/// - If the descriptor is not a VFIO device, then [`Error::NotVfio`].
/// - If the descriptor is another device, then [`Error::OtherDevice`].
pub(crate) fn cdev(
    device: Address,
    given: Option<&Descriptor>,
    named: &NamedFds,
) -> Result<Option<Cdev>, Error> {
    let Some(given) = given else {
        return Ok(None);
    };
    let number = number_of(given, named)?;
    let fd = open_number(
        number,
        &format!("the device {device}"),
        "/dev/vfio/devices/vfioN",
    )?;
    let cdev = Cdev::from_fd(fd).map_err(|source| Error::NotVfio {
        number,
        device,
        source,
    })?;
    if cdev.pci() == Some(device) {
        Ok(Some(cdev))
    } else {
        Err(Error::OtherDevice {
            number,
            device,
            is: cdev.sysfs().into(),
        })
    }
}

/// Returns the number of a descriptor that the domain gives by number or by name.
fn number_of(given: &Descriptor, named: &NamedFds) -> Result<u32, Error> {
    match given {
        Descriptor::Number(number) => Ok(*number),
        Descriptor::Name(name) => {
            let number = named.get(name).copied();
            number.ok_or_else(|| Error::UnknownDescriptor { name: name.clone() })
        }
    }
}

/// Copies the descriptor with a number. `what` is the descriptor's use in words, for the error.
fn open_number(number: u32, what: &str, path: &'static str) -> Result<OwnedFd, Error> {
    RawFd::try_from(number)
        .map_err(std::io::Error::other)
        .and_then(inherited::copy_of)
        .map_err(|source| Error::NotOpen {
            number,
            what: what.into(),
            path,
            source,
        })
}
