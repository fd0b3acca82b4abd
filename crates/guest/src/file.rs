//! Opening a guest's files as root, on paths that others may be able to write to.

use crate::handover::Mode;
use crate::user::User;
use rustix::fs::{FileType, Mode as Permissions, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Opens a file of the guest: as the guest's user where that may open it, else as ourselves. What is no
/// file, block device or character device is refused, so that nobody waits at a FIFO; a link is followed
/// only where root alone can have put it there.
///
/// An existing file is not emptied, whatever the mode.
pub(crate) fn open(path: &Path, mode: Mode, user: &User) -> io::Result<File> {
    let fd = user.on_thread(|| rustix::fs::open(path, flags(mode), Permissions::empty())).unwrap_or_else(
        |_| {
            let link = if is_roots(path) { OFlags::empty() } else { OFlags::NOFOLLOW };
            rustix::fs::open(path, flags(mode) | created(mode) | link, Permissions::RUSR | Permissions::WUSR)
        },
    )?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::BlockDevice | FileType::CharacterDevice) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a device"));
    }
    let status = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, status - OFlags::NONBLOCK)?;
    Ok(fd.into())
}

/// Opens an image for a look at its header: a regular file or a block device only, since opening some
/// character devices has effects.
pub(crate) fn open_image(path: &Path) -> io::Result<File> {
    let seen = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Permissions::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&seen)?.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => {
            File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&seen)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a block device")),
    }
}

fn flags(mode: Mode) -> OFlags {
    let access = match mode {
        Mode::Read => OFlags::RDONLY,
        Mode::ReadWrite => OFlags::RDWR,
        Mode::Write => OFlags::WRONLY,
        Mode::Append => OFlags::WRONLY | OFlags::APPEND,
    };
    access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// A log is made where it is not there.
fn created(mode: Mode) -> OFlags {
    if matches!(mode, Mode::Write | Mode::Append) { OFlags::CREATE } else { OFlags::empty() }
}

/// Whether root alone can put something into the path's folder.
fn is_roots(path: &Path) -> bool {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.metadata().is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_fifo_is_refused_at_once_and_a_link_of_others_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let user = User::choose(None).unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Permissions::RUSR | Permissions::WUSR).unwrap();
        assert!(open(&fifo, Mode::Read, &user).is_err());
        assert!(open_image(&fifo).is_err());
        assert!(open_image(Path::new("/dev/null")).is_err());

        let (secret, link) = (folder.path().join("secret"), folder.path().join("link"));
        std::fs::write(&secret, "x").unwrap();
        symlink(&secret, &link).unwrap();
        let everybodys = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), everybodys).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(open(&link, Mode::Read, &user).is_err());
        assert!(open(&secret, Mode::Read, &user).is_ok());
    }

    #[test]
    fn a_log_is_not_emptied_by_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "earlier").unwrap();
        open(&log, Mode::Write, &User::choose(None).unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "earlier");
    }
}
