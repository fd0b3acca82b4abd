//! Files and folders that are the program's own: nobody else may have made or may change them.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::bounded::read_bounded;

/// Largest size of a file of ours, in bytes.
const MOST: u64 = 1 << 20;

/// Reads a file of ours. A link is not followed. Returns at once for anything but a regular file.
///
/// # Errors
/// The system's answer; a file of another user, one that others may write to, one that is no
/// regular file, or one of more than 1 MiB.
pub fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "it is not a regular file",
        ));
    }
    check(stat.st_uid, stat.st_mode)?;
    read_bounded(file, MOST)
}

/// Makes a folder of ours, and those above it, unless it is there.
///
/// # Errors
/// The system's answer; a folder of another user, or one that others may write to.
pub fn make_own_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    let found = fs::metadata(path)?;
    check(found.uid(), found.mode())
}

fn check(uid: u32, mode: u32) -> io::Result<()> {
    // Not a lack of permission: to be root does not help.
    let refused = |reason: String| Err(io::Error::other(reason));
    if uid != rustix::process::geteuid().as_raw() {
        return refused(format!(
            "it belongs to another user (uid {uid}), who could change it"
        ));
    }
    if mode & 0o022 != 0 {
        return refused(format!(
            "others may write to it (mode {:o}); chmod go-w takes that away",
            mode & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn said<T>(result: io::Result<T>) -> String {
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn only_a_regular_file_of_ours_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let set = |name: &str, mode| fs::set_permissions(at(name), PermissionsExt::from_mode(mode));
        fs::write(at("file"), "text").unwrap();
        set("file", 0o644).unwrap();
        assert_eq!(read_own(&at("file")).unwrap(), b"text");
        symlink(at("file"), at("link")).unwrap();
        assert!(read_own(&at("link")).is_err());
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(said(read_own(&at("fifo"))), "it is not a regular file");
        set("file", 0o666).unwrap();
        assert_eq!(
            said(read_own(&at("file"))),
            "others may write to it (mode 666); chmod go-w takes that away"
        );
        File::create(at("large"))
            .unwrap()
            .set_len(MOST + 1)
            .unwrap();
        set("large", 0o644).unwrap();
        assert_eq!(said(read_own(&at("large"))), "it has more than 1 MiB");
        assert_eq!(
            read_own(&at("none")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/passthru");
        make_own_folder(&path, 0o755).unwrap();
        make_own_folder(&path, 0o755).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(
            said(make_own_folder(&path, 0o755)),
            "others may write to it (mode 777); chmod go-w takes that away"
        );
    }

    #[test]
    fn folder_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (theirs, link) = (folder.path().join("theirs"), folder.path().join("guests"));
        fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(4_000), None).unwrap();
        symlink(&theirs, &link).unwrap();
        assert_eq!(
            said(make_own_folder(&link, 0o700)),
            "it belongs to another user (uid 4000), who could change it"
        );
        fs::write(folder.path().join("file"), "x").unwrap();
        std::os::unix::fs::chown(folder.path().join("file"), Some(4_000), None).unwrap();
        assert_eq!(
            said(read_own(&folder.path().join("file"))),
            "it belongs to another user (uid 4000), who could change it"
        );
    }
}
