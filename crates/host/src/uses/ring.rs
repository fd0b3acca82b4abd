//! Files registered with an io_uring, which are in no `/proc/PID/fd`. The ring's `fdinfo` lists them
//! as `UserFiles`, whenever the ring is not busy at that moment: by path, before Linux 6.14 by name.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::Unseen;
use crate::node::Number;
use crate::{Host, sysfs};

const FILES: &str = "devices registered with an io_uring";

/// Returns the devices that are registered with a ring of the process in the folder `dir`, by the
/// ring's file in `fdinfo`.
///
/// # Errors
/// When the ring stayed busy, or a path of its list leads to nothing and may be that of a device.
pub(crate) fn registered(host: &Host, dir: &Path, info: &Path) -> Result<Vec<Number>, Unseen> {
    let mut files = None;
    for _ in 0..20 {
        // Without a file, the process has ended meanwhile.
        let Some(text) = sysfs::read(info) else { return Ok(Vec::new()) };
        files = user_files(&text, omits_busy_list(host));
        if files.is_some() {
            break;
        }
        sleep(Duration::from_millis(2));
    }
    let files = files.ok_or_else(|| Unseen::new(FILES, info.display(), "the ring is busy"))?;
    let mut numbers = Vec::new();
    for file in &files {
        if file.starts_with('/') {
            numbers.extend(at_path(host, dir, file)?);
        } else {
            numbers.extend(by_name(host, dir, file));
        }
    }
    Ok(numbers)
}

/// Returns the device that a path of a process leads to.
///
/// # Errors
/// If it leads to nothing, and the path may have been that of a device.
fn at_path(host: &Host, dir: &Path, path: &str) -> Result<Option<Number>, Unseen> {
    let inside = dir.join("root").join(&path[1..]);
    match host.number_at(&inside).or_else(|_| host.number_at(&host.path(&path[1..]))) {
        Err(error) if error.kind() == ErrorKind::NotFound && is_deleted_file(path) => Ok(None),
        number => number.map_err(|error| Unseen::new(FILES, path, error)),
    }
}

/// Returns whether a path that leads to nothing is that of a file in memory, or of one that was
/// deleted where no device nodes are made.
fn is_deleted_file(path: &str) -> bool {
    path.starts_with("/memfd:") || (path.ends_with(" (deleted)") && !path.starts_with("/dev/"))
}

/// Returns the devices below `/dev`, of the process or of this host, that have a name. Sockets and
/// regular files have none there.
fn by_name(host: &Host, dir: &Path, name: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut folders = vec![dir.join("root/dev"), host.path("dev")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name() == *name {
                numbers.extend(number(host, entry.path()));
            }
        }
    }
    numbers
}

fn number(host: &Host, path: PathBuf) -> Option<Number> {
    host.number_at(&path).ok().flatten()
}

/// Returns whether the kernel leaves the list out when a ring is busy (since Linux 6.15), instead of
/// its entries alone.
fn omits_busy_list(host: &Host) -> bool {
    let release = sysfs::read(host.path("proc/sys/kernel/osrelease")).unwrap_or_default();
    let mut parts = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(6), Some(15))
}

/// Reads the list of registered files: `UserFiles: COUNT`, then a line `INDEX: FILE` for each.
/// `None` if the ring was busy: the list is missing, or, unless `is_whole`, its entries are.
fn user_files(text: &str, is_whole: bool) -> Option<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("UserFiles:"));
    let count = lines.next()?.trim_start_matches("UserFiles:").trim();
    let files = lines.map_while(|line| {
        let (index, file) = line.trim_start().split_once(": ")?;
        index.parse::<u32>().is_ok().then(|| super::mounts::unescape(file))
    });
    let files: Vec<String> = files.collect();
    (is_whole || count == "0" || !files.is_empty()).then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    const INFO: &str = "pos:\t0\nUserFiles:\t3\n    0: /dev/xvda\n    2: socket:[12]\n\
                        UserBufs:\t1\n    0: 0x7f/4096\nPollList:\n";

    fn ring(info: &str) -> Tree {
        let tree = Tree::new();
        tree.file("proc/77/fdinfo/5", info);
        tree
    }

    fn found(tree: &Tree) -> Result<Vec<Number>, Unseen> {
        registered(&tree.host(), &tree.path("proc/77"), &tree.path("proc/77/fdinfo/5"))
    }

    #[test]
    fn registered_disk_is_found_in_the_root_of_its_process() {
        let tree = ring(INFO);
        tree.file("proc/77/root/dev/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![Number::Block(259, 0)]));
    }

    #[test]
    fn list_without_its_entries_is_of_a_busy_ring() {
        let info = "UserFiles:\t3\nUserBufs:\t0\n";
        let tree = ring(info);
        for release in ["6.8.0-45-generic", "6.14.2", "5.14.0-570.el9.x86_64"] {
            tree.file("proc/sys/kernel/osrelease", release);
            assert_eq!(found(&tree).unwrap_err().reason, "the ring is busy", "{release}");
        }
        // Its slots are empty.
        for release in ["6.15.0", "7.3.0-rc1"] {
            tree.file("proc/sys/kernel/osrelease", release);
            assert_eq!(found(&tree), Ok(vec![]), "{release}");
        }
        assert_eq!(found(&ring("UserFiles:\t0\nUserBufs:\t0\n")), Ok(vec![]));
    }

    #[test]
    fn memory_and_deleted_files_are_no_devices() {
        let info = "UserFiles:\t2\n    0: /memfd:ring\\040(deleted)\n    1: /tmp/x\\040(deleted)\n";
        assert_eq!(found(&ring(info)), Ok(vec![]));
        let info = "UserFiles:\t1\n    0: /dev/sda\\040(deleted)\n";
        assert_eq!(found(&ring(info)).unwrap_err().place, "/dev/sda (deleted)");
    }

    #[test]
    fn name_without_a_path_is_looked_for_below_dev() {
        let info = "UserFiles:\t4\n    0: xvda\n    1: <none>\n    2: [eventfd]\n    3: TCP\n";
        let tree = ring(info);
        tree.file("proc/77/root/dev/disks/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![Number::Block(259, 0)]));
    }

    #[test]
    fn busy_ring_and_path_without_file_are_unseen() {
        assert_eq!(found(&ring("pos:\t0\n")).unwrap_err().reason, "the ring is busy");
        assert_eq!(found(&ring(INFO)).unwrap_err().place, "/dev/xvda");
    }
}
