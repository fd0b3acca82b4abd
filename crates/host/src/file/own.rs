//! Own files and folders: those that belong to this program's user, and that no other user may
//! change.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::bounded::read_bounded;

/// Maximum size of an own file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads an own file. Links are not followed, and other files than regular ones do not block.
///
/// # Errors
/// - If the file cannot be opened or read, then the error of the system call.
/// - If the file is not a regular file, then `InvalidData`.
/// - If another user owns the file or may write to it, then `Other`.
/// - If the file has more than 1 MiB, then `FileTooLarge`.
pub fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    read_own_within(path, MAX_BYTES)
}

/// Reads an own file of at most `limit` bytes, a multiple of 1 MiB. Links are not followed, and
/// other files than regular ones do not block.
///
/// # Errors
/// Those of [`read_own`], with that limit.
pub fn read_own_within(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "it is not a regular file",
        ));
    }

    check_owner(own_uid(), stat.st_uid, stat.st_mode)?;
    read_bounded(file, limit)
}

/// Creates an own folder, and the folders above it, unless it exists.
///
/// # Errors
/// - If the folder cannot be created, then the error of the system call.
/// - If another user owns the folder or may write to it, then `Other`.
pub fn make_own_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    let folder = fs::metadata(path)?;
    check_owner(own_uid(), folder.uid(), folder.mode())
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Checks that only the user `owner` may change a file, by the file's user and mode.
///
/// # Errors
/// If another user owns the file or may write to it, then `Other`. It is not `PermissionDenied`:
/// running as root would not help.
pub fn check_owner(owner: u32, uid: u32, mode: u32) -> io::Result<()> {
    if uid != owner {
        return Err(io::Error::other(format!(
            "it belongs to another user (uid {uid}), who could change it"
        )));
    }

    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "others may write to it (mode {:o}); chmod go-w takes that away",
            mode & 0o7777
        )));
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn message<T>(result: io::Result<T>) -> String {
        let error = result.err().map(|error| error.to_string());
        error.unwrap_or_default()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_an_own_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        set_mode(&file, 0o644);

        assert_eq!(read_own(&file).unwrap(), b"text");

        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(read_own(&link).is_err());

        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(message(read_own(&fifo)), "it is not a regular file");

        set_mode(&file, 0o666);
        assert_eq!(
            message(read_own(&file)),
            "others may write to it (mode 666); chmod go-w takes that away"
        );

        let large = folder.path().join("large");
        let content = File::create(&large).unwrap();
        content.set_len(MAX_BYTES + 1).unwrap();
        set_mode(&large, 0o644);
        assert_eq!(message(read_own(&large)), "it has more than 1 MiB");

        let missing = read_own(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/passthru");
        make_own_folder(&path, 0o755).unwrap();
        make_own_folder(&path, 0o755).unwrap();
        set_mode(&path, 0o777);

        assert_eq!(
            message(make_own_folder(&path, 0o755)),
            "others may write to it (mode 777); chmod go-w takes that away"
        );
    }

    #[test]
    fn folder_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("foreign");
        let link = folder.path().join("guests");
        fs::create_dir(&foreign).unwrap();
        chown(&foreign, Some(4_000), None).unwrap();
        symlink(&foreign, &link).unwrap();

        assert_eq!(
            message(make_own_folder(&link, 0o700)),
            "it belongs to another user (uid 4000), who could change it"
        );

        fs::write(folder.path().join("file"), "x").unwrap();
        chown(folder.path().join("file"), Some(4_000), None).unwrap();
        assert_eq!(
            message(read_own(&folder.path().join("file"))),
            "it belongs to another user (uid 4000), who could change it"
        );
    }
}
