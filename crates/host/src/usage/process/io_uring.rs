//! Files registered with an io_uring, which are in no `/proc/PID/fd`. The ring's `fdinfo` lists
//! them as `UserFiles`, whenever the ring is not busy at that moment: by path, before Linux 6.14 by
//! name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::device::DeviceNumber;
use crate::usage::report::BlindSpot;
use crate::{Host, sysfs};

const FILES: &str = "devices registered with an io_uring";
/// Largest size of a ring's `fdinfo` that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;
/// Most files that are looked at for one process.
const MOST_FILES: usize = 65_536;
/// Most entries of a `/dev` that are read for one process.
const MOST_ENTRIES: usize = 4_096;
/// Most folders between a `/dev` and a node.
const MOST_DEPTH: usize = 4;
/// Folders of `/dev` where any user makes files, and nobody makes nodes.
const WITHOUT_NODES: [&str; 3] = ["shm", "hugepages", "mqueue"];

/// IoUrings of one process, or of a thread with descriptors of its own. Any user can have many, with
/// long lists, so the work for them has limits.
pub(crate) struct IoUrings<'a> {
    host: &'a Host,
    /// Folder of the process or thread in `/proc`.
    dir: &'a Path,
    /// Names of files whose paths the kernel does not print.
    names: BTreeSet<String>,
    /// DeviceNumber of files that may still be looked at.
    left: usize,
}

impl<'a> IoUrings<'a> {
    pub(crate) fn new(host: &'a Host, dir: &'a Path) -> Self {
        Self {
            host,
            dir,
            names: BTreeSet::new(),
            left: MOST_FILES,
        }
    }

    /// Returns the devices that are registered with one ring by their paths, by the ring's file in
    /// `fdinfo`. Keeps the names without a path for [`named`](Self::named).
    ///
    /// # Errors
    /// When the ring stayed busy, a path of its list leads to nothing and may be that of a device,
    /// or the list is beyond the limits.
    pub(crate) fn registered(&mut self, info: &Path) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let (paths, names) = sort(self.files(info)?);
        let count = paths.len() + names.difference(&self.names).count();
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            let reason = format!("the process has registered more than {MOST_FILES} files");
            BlindSpot::new(FILES, info.display(), reason)
        })?;
        self.names.extend(names);
        let mut numbers = Vec::new();
        for path in &paths {
            numbers.extend(at_path(self.host, self.dir, path)?);
        }
        Ok(numbers)
    }

    fn files(&self, info: &Path) -> Result<Vec<String>, BlindSpot> {
        for _ in 0..20 {
            // Without a file, the process has ended meanwhile.
            let Some(text) = read(info) else {
                return Ok(Vec::new());
            };
            if text.len() as u64 > MOST_BYTES {
                let reason = format!("it has more than {} MiB", MOST_BYTES >> 20);
                return Err(BlindSpot::new(FILES, info.display(), reason));
            }
            let text = String::from_utf8_lossy(&text);
            if let Some(files) = user_files(&text, omits_busy_list(self.host)) {
                return Ok(files);
            }
            sleep(Duration::from_millis(2));
        }
        Err(BlindSpot::new(FILES, info.display(), "the ring is busy"))
    }

    /// Returns the devices below `/dev`, of the process or of this host, that have one of the names
    /// of the lists.
    ///
    /// # Errors
    /// When such a `/dev` has too many entries, or its folders are too deep.
    pub(crate) fn named(&self) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let mut numbers = Vec::new();
        if !self.names.is_empty() {
            for dev in [self.dir.join("root/dev"), self.host.path("dev")] {
                self.walk(dev, &mut numbers)?;
            }
        }
        Ok(numbers)
    }

    fn walk(&self, dev: PathBuf, numbers: &mut Vec<DeviceNumber>) -> Result<(), BlindSpot> {
        let beyond = |reason: String| Err(BlindSpot::new(FILES, dev.display(), reason));
        let mut entries = 0;
        let mut folders = vec![(dev.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                entries += 1;
                if entries > MOST_ENTRIES {
                    return beyond(format!("it has more than {MOST_ENTRIES} entries"));
                }
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let is_named = self.names.contains(&*name);
                    numbers.extend(is_named.then(|| number(self.host, &entry.path())).flatten());
                } else if depth == MOST_DEPTH {
                    return beyond(format!("it has folders more than {MOST_DEPTH} deep"));
                } else if depth > 0 || !WITHOUT_NODES.contains(&&*name) {
                    folders.push((entry.path(), depth + 1));
                }
            }
        }
        Ok(())
    }
}

/// Reads a ring's `fdinfo`, up to one byte more than may be.
fn read(info: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(info)
        .ok()?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut text)
        .ok()?;
    Some(text)
}

/// Returns the paths of a list, and the names that may be those of nodes: none if the kernel prints
/// paths. Sockets and files of the kernel's own have names that no node has.
fn sort(files: Vec<String>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (paths, mut names): (BTreeSet<_>, BTreeSet<_>) =
        files.into_iter().partition(|file| file.starts_with('/'));
    names.retain(|name| paths.is_empty() && !name.is_empty() && !name.contains(['[', ':', '<']));
    (paths, names)
}

/// Returns the device that a path of a process leads to.
///
/// # Errors
/// If it leads to nothing, and the path may have been that of a device.
fn at_path(host: &Host, dir: &Path, path: &str) -> Result<Option<DeviceNumber>, BlindSpot> {
    let inside = dir.join("root").join(&path[1..]);
    match host
        .number_at(&inside)
        .or_else(|_| host.number_at(&host.path(&path[1..])))
    {
        Err(error) if error.kind() == ErrorKind::NotFound && is_deleted_file(path) => Ok(None),
        number => number.map_err(|error| BlindSpot::new(FILES, path, error)),
    }
}

/// Returns whether a path that leads to nothing is that of a file in memory, or of one that was
/// deleted where no device nodes are made: they are made in a folder `dev`.
fn is_deleted_file(path: &str) -> bool {
    if path.starts_with("/memfd:") {
        return true;
    }
    let Some(path) = path.strip_suffix(" (deleted)") else {
        return false;
    };
    match path.strip_prefix("/dev/") {
        Some(below) => below
            .split_once('/')
            .is_some_and(|(top, _)| WITHOUT_NODES.contains(&top)),
        None => path.split('/').all(|part| part != "dev"),
    }
}

fn number(host: &Host, path: &Path) -> Option<DeviceNumber> {
    host.number_at(path).ok().flatten()
}

/// Returns whether the kernel leaves the list out when a ring is busy (since Linux 6.15), instead
/// of its entries alone.
fn omits_busy_list(host: &Host) -> bool {
    let release = sysfs::read(host.path("proc/sys/kernel/osrelease")).unwrap_or_default();
    let mut parts = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(6), Some(15))
}

/// Reads the list of registered files: `UserFiles: COUNT`, then a line `INDEX: FILE` for each.
/// `None` if the ring was busy: the list is missing, or, unless `is_whole`, its entries are.
fn user_files(text: &str, is_whole: bool) -> Option<Vec<String>> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("UserFiles:"));
    let count = lines.next()?.trim_start_matches("UserFiles:").trim();
    let files = lines.map_while(|line| {
        let (index, file) = line.trim_start().split_once(": ")?;
        index
            .parse::<u32>()
            .is_ok()
            .then(|| crate::usage::disk::mounts::unescape(file))
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

    /// Looks at rings of one process by their files in `fdinfo`.
    fn look(tree: &Tree, infos: &[&str]) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let host = tree.host();
        let dir = tree.path("proc/77");
        let mut rings = IoUrings::new(&host, &dir);
        let mut numbers = Vec::new();
        for info in infos {
            numbers.extend(rings.registered(&tree.path(&format!("proc/77/fdinfo/{info}")))?);
        }
        numbers.extend(rings.named()?);
        Ok(numbers)
    }

    fn found(tree: &Tree) -> Result<Vec<DeviceNumber>, BlindSpot> {
        look(tree, &["5"])
    }

    #[test]
    fn registered_disk_is_found_in_the_root_of_its_process() {
        let tree = ring(INFO);
        tree.file("proc/77/root/dev/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![DeviceNumber::Block(259, 0)]));
    }

    #[test]
    fn list_without_its_entries_is_of_a_busy_ring() {
        let info = "UserFiles:\t3\nUserBufs:\t0\n";
        let tree = ring(info);
        for release in ["6.8.0-45-generic", "6.14.2", "5.14.0-570.el9.x86_64"] {
            tree.file("proc/sys/kernel/osrelease", release);
            assert_eq!(
                found(&tree).unwrap_err().reason,
                "the ring is busy",
                "{release}"
            );
        }
        // Its slots are empty.
        for release in ["6.15.0", "7.3.0-rc1"] {
            tree.file("proc/sys/kernel/osrelease", release);
            assert_eq!(found(&tree), Ok(vec![]), "{release}");
        }
        assert_eq!(found(&ring("UserFiles:\t0\nUserBufs:\t0\n")), Ok(vec![]));
    }

    fn with_file(file: &str) -> Result<Vec<DeviceNumber>, BlindSpot> {
        found(&ring(&format!(
            "UserFiles:\t1\n    0: {}\n",
            file.replace(' ', "\\040")
        )))
    }

    #[test]
    fn memory_and_deleted_files_are_no_devices() {
        let memory = [
            "/memfd:ring",
            "/dev/shm/x",
            "/dev/hugepages/a/x",
            "/dev/mqueue/x",
        ];
        for file in memory.into_iter().chain(["/tmp/x", "/srv/devices/x"]) {
            assert_eq!(
                with_file(&format!("{file} (deleted)")),
                Ok(vec![]),
                "{file}"
            );
        }
    }

    #[test]
    fn deleted_file_of_a_folder_dev_is_unseen() {
        let own = ["/dev/sda", "/dev/shm", "/dev/shmem/x", "/dev/disks/shm/x"];
        for file in own.into_iter().chain(["/srv/chroot/dev/sda"]) {
            let file = format!("{file} (deleted)");
            assert_eq!(with_file(&file).unwrap_err().place, file);
        }
    }

    #[test]
    fn names_that_no_node_has_are_not_looked_for() {
        let files = "    0: <none>\n    1: socket:[12]\n    2: anon_inode:kvm-vm\n";
        let tree = ring(&format!("UserFiles:\t3\n{files}"));
        for name in ["<none>", "socket:[12]", "anon_inode:kvm-vm"] {
            tree.file(&format!("dev/{name}"), "block 259:0\n");
        }
        tree.dir("dev/1/2/3/4/5"); // a walk would end there
        assert_eq!(found(&tree), Ok(vec![]));
    }

    #[test]
    fn list_with_a_path_has_no_names() {
        let tree = ring("UserFiles:\t2\n    0: TCP\n    1: /dev/xvda\n");
        tree.file("proc/77/root/dev/xvda", "block 259:0\n");
        tree.file("proc/77/root/dev/TCP", "block 259:1\n");
        tree.dir("proc/77/root/dev/1/2/3/4/5");
        assert_eq!(found(&tree), Ok(vec![DeviceNumber::Block(259, 0)]));
    }

    #[test]
    fn names_of_all_rings_are_looked_for_at_once() {
        let tree = ring("UserFiles:\t2\n    0: xvda\n    1: xvda\n");
        tree.file(
            "proc/77/fdinfo/6",
            "UserFiles:\t2\n    0: xvda\n    1: xvdb\n",
        );
        tree.file("dev/xvda", "block 259:0\n");
        tree.file("dev/disks/xvdb", "block 259:1\n");
        let mut numbers = look(&tree, &["5", "6"]).unwrap();
        numbers.sort();
        assert_eq!(
            numbers,
            [DeviceNumber::Block(259, 0), DeviceNumber::Block(259, 1)]
        );
    }

    #[test]
    fn folder_dev_beyond_the_limits_is_unseen() {
        let tree = ring("UserFiles:\t1\n    0: xvda\n");
        tree.dir("proc/77/root/dev/1/2/3/4");
        tree.dir("proc/77/root/dev/shm/1/2/3/4/5");
        assert_eq!(found(&tree), Ok(vec![]));
        tree.dir("proc/77/root/dev/1/2/3/4/5");
        let blind_spot = found(&tree).unwrap_err();
        assert_eq!(blind_spot.reason, "it has folders more than 4 deep");
        assert!(
            blind_spot.place.ends_with("proc/77/root/dev"),
            "{blind_spot}"
        );

        let tree = ring("UserFiles:\t1\n    0: xvda\n");
        for name in 0..MOST_ENTRIES {
            tree.file(&format!("dev/{name}"), "");
        }
        assert_eq!(found(&tree), Ok(vec![]));
        tree.file("dev/one-more", "");
        assert_eq!(
            found(&tree).unwrap_err().reason,
            "it has more than 4096 entries"
        );
    }

    #[test]
    fn list_beyond_the_limits_is_unseen() {
        let list = |count: usize, path: &str| {
            let files = (0..count).map(|index| format!("{index:>5}: {path}{index}\n"));
            format!("UserFiles:\t{count}\n{}", files.collect::<String>())
        };
        let sockets = list(MOST_FILES + 1, "socket:[7]");
        assert_eq!(found(&ring(&sockets)), Ok(vec![]));
        let reason = "the process has registered more than 65536 files";
        assert_eq!(
            found(&ring(&list(MOST_FILES + 1, "/x")))
                .unwrap_err()
                .reason,
            reason
        );
        assert_eq!(
            found(&ring(&list(MOST_FILES + 1, "x"))).unwrap_err().reason,
            reason
        );
        let large = "x".repeat(1 + (16 << 20));
        assert_eq!(
            found(&ring(&large)).unwrap_err().reason,
            "it has more than 16 MiB"
        );
    }

    #[test]
    fn name_without_a_path_is_looked_for_below_dev() {
        let info = "UserFiles:\t4\n    0: xvda\n    1: <none>\n    2: [eventfd]\n    3: TCP\n";
        let tree = ring(info);
        tree.file("proc/77/root/dev/disks/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![DeviceNumber::Block(259, 0)]));
    }

    #[test]
    fn busy_ring_and_path_without_file_are_unseen() {
        assert_eq!(
            found(&ring("pos:\t0\n")).unwrap_err().reason,
            "the ring is busy"
        );
        assert_eq!(found(&ring(INFO)).unwrap_err().place, "/dev/xvda");
    }
}
