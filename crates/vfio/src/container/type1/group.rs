//! [`Group`]: an IOMMU group's open file, `/dev/vfio/GROUP`.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio::VFIO_GROUP_FLAGS_VIABLE;

use crate::container::Error;
use crate::container::blocker::blockers_of;
use crate::device::Location;
use crate::sys;

/// An IOMMU group, open in this process alone.
///
/// The IOMMU does not isolate the devices of a group from each other, so they are assigned
/// together. They stay in the group's container until the files of the group and of the devices are
/// closed.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    number: u32,
}

impl Group {
    /// Opens a group by its number (`/dev/vfio/GROUP`).
    ///
    /// # Errors
    /// - If the group exists only without an IOMMU, [`Error::NoIommu`].
    /// - If it cannot be opened, [`Error::Open`]; `EBUSY` if another process has it open.
    /// - If the file is not a group, [`Error::NotVfio`].
    pub fn open(number: u32) -> Result<Self, Error> {
        Self::open_in(Path::new("/dev/vfio"), number)
    }

    fn open_in(folder: &Path, number: u32) -> Result<Self, Error> {
        let path = folder.join(number.to_string());
        let fd = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let fd = fd.map_err(|e| match e {
            Errno::NOENT if folder.join(format!("noiommu-{number}")).exists() => {
                Error::NoIommu { group: number }
            }
            e => Error::Open {
                path: path.clone(),
                source: e.into(),
            },
        })?;
        let group = Self { fd, number };
        group.status().map_err(|e| Error::NotVfio {
            path,
            expected: "group",
            source: e.into(),
        })?;
        Ok(group)
    }

    /// Returns the group's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Checks that each device of the group is on a VFIO driver or on none
    /// (`VFIO_GROUP_FLAGS_VIABLE`).
    ///
    /// # Errors
    /// - If the group is not viable, [`Error::NotViable`] with the devices on other drivers.
    /// - If the file is not a group, [`Error::NotVfio`].
    pub fn check_viable(&self) -> Result<(), Error> {
        let path = PathBuf::from(format!("/dev/vfio/{}", self.number));
        let flags = self.status().map_err(|e| Error::NotVfio {
            path,
            expected: "group",
            source: e.into(),
        })?;
        if flags & VFIO_GROUP_FLAGS_VIABLE != 0 {
            return Ok(());
        }
        Err(Error::NotViable {
            group: self.number,
            blockers: blockers_of(self.number),
        })
    }

    fn status(&self) -> Result<u32, Errno> {
        sys::group::status(self.as_fd())
    }

    /// Adds the group to a container (`VFIO_GROUP_SET_CONTAINER`), which it leaves when its file is
    /// closed.
    pub(super) fn set_container(&self, container: BorrowedFd<'_>) -> Result<(), Error> {
        sys::group::set_container(self.as_fd(), container).map_err(|e| Error::Join {
            group: self.number,
            call: "VFIO_GROUP_SET_CONTAINER",
            source: e.into(),
        })
    }

    /// Opens a device of the group (`VFIO_GROUP_GET_DEVICE_FD`).
    pub(super) fn device(
        &self,
        location: &Location,
        token: Option<[u8; 16]>,
    ) -> Result<OwnedFd, Error> {
        let device = location.name();
        let name = CString::new(device_argument(&device, token)).map_err(|_| Errno::INVAL);
        name.and_then(|name| sys::group::device(self.as_fd(), &name))
            .map_err(|e| Error::GroupDevice {
                device,
                group: self.number,
                token: token.is_some(),
                source: e.into(),
            })
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the argument of `VFIO_GROUP_GET_DEVICE_FD`: the name, and a token as a UUID.
fn device_argument(device: &str, token: Option<[u8; 16]>) -> String {
    let Some(token) = token else {
        return device.into();
    };
    let mut uuid = String::new();
    for (index, byte) in token.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) {
            "-"
        } else {
            ""
        };
        uuid.push_str(&format!("{dash}{byte:02x}"));
    }

    format!("{device} vf_token={uuid}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn token_follows_the_name() {
        let token: [u8; 16] = std::array::from_fn(|index| 0x10 * index as u8 + 1);
        assert_eq!(
            device_argument("0000:02:10.0", Some(token)),
            "0000:02:10.0 vf_token=01112131-4151-6171-8191-a1b1c1d1e1f1"
        );
        assert_eq!(device_argument("0000:02:10.0", None), "0000:02:10.0");
    }

    #[test]
    fn group_without_iommu_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Group::open_in(folder.path(), 3).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");

        fs::write(folder.path().join("noiommu-3"), "").unwrap();
        let error = Group::open_in(folder.path(), 3).unwrap_err();
        assert!(matches!(error, Error::NoIommu { group: 3 }), "{error}");

        fs::write(folder.path().join("4"), "").unwrap();
        let error = Group::open_in(folder.path(), 4).unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    }
}
