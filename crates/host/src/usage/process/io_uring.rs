//! Devices that are registered with an io_uring.
//!
//! Registered files are in no `/proc/PID/fd`. The ring's `fdinfo` lists them while the ring is not
//! busy: by path, before Linux 6.14 by name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::uring_list::{UringList, omits_busy_list};
use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;

const FILES: &str = "devices registered with an io_uring";
/// Maximum size of a ring's `fdinfo`, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Maximum number of files that are inspected for one process.
const MAX_FILES: usize = 65_536;
/// Maximum number of entries of a `/dev` that are read for one process.
const MAX_ENTRIES: usize = 4_096;
/// Maximum number of folders between a `/dev` and a node.
const MAX_DEPTH: usize = 4;
/// Number of attempts to read the list of a busy ring.
const ATTEMPTS: usize = 20;
/// Folders of `/dev` in which any user creates files, and in which there are no nodes.
const WITHOUT_NODES: [&str; 3] = ["shm", "hugepages", "mqueue"];

/// The io_urings of one process, or of a thread with its own descriptors.
///
/// Any user can have many rings with long lists, so the work for one process is limited.
pub(super) struct IoUrings<'a> {
    host: &'a Host,
    /// Folder of the process or thread in `/proc`.
    dir: &'a Path,
    /// Names of registered files whose paths the kernel does not print.
    names: BTreeSet<String>,
    /// Number of files that may still be inspected.
    files_left: usize,
}

impl<'a> IoUrings<'a> {
    pub(super) fn new(host: &'a Host, dir: &'a Path) -> Self {
        Self {
            host,
            dir,
            names: BTreeSet::new(),
            files_left: MAX_FILES,
        }
    }

    /// Returns the devices that one ring lists by path, and keeps the names without a path for
    /// [`find_named`](Self::find_named). `info` is the ring's file in `fdinfo`.
    ///
    /// # Errors
    /// - If the ring stays busy.
    /// - If a path leads to nothing but may have been that of a device.
    /// - If the list exceeds a limit.
    pub(super) fn find_registered(&mut self, info: &Path) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let Some(UringList { paths, names }) = self.read_list(info)? else {
            return Ok(Vec::new());
        };
        let count = paths.len() + names.difference(&self.names).count();
        let Some(files_left) = self.files_left.checked_sub(count) else {
            let reason = format!("the process has registered more than {MAX_FILES} files");
            return Err(BlindSpot::new(FILES, info.display(), reason));
        };
        self.files_left = files_left;
        self.names.extend(names);
        let mut numbers = Vec::new();
        for path in &paths {
            numbers.extend(self.number_at(path)?);
        }
        Ok(numbers)
    }

    /// Reads the list of a ring. Returns `None` if the process has ended meanwhile.
    fn read_list(&self, info: &Path) -> Result<Option<UringList>, BlindSpot> {
        for _ in 0..ATTEMPTS {
            let Some(text) = read(info) else {
                return Ok(None);
            };
            if text.len() as u64 > MAX_BYTES {
                let reason = format!("it has more than {} MiB", MAX_BYTES >> 20);
                return Err(BlindSpot::new(FILES, info.display(), reason));
            }
            let text = String::from_utf8_lossy(&text);
            if let Some(list) = UringList::parse(&text, omits_busy_list(self.host)) {
                return Ok(Some(list));
            }
            sleep(Duration::from_millis(2));
        }

        Err(BlindSpot::new(FILES, info.display(), "the ring is busy"))
    }

    /// Returns the device that a path of the process leads to: in the process's root, else in that
    /// of this host.
    ///
    /// # Errors
    /// If the path leads to nothing but may have been that of a device.
    fn number_at(&self, path: &str) -> Result<Option<DeviceNumber>, BlindSpot> {
        let inside = self.dir.join("root").join(&path[1..]);
        let found = self
            .host
            .number_at(&inside)
            .or_else(|_| self.host.number_at(&self.host.path(&path[1..])));
        match found {
            Err(error) if error.kind() == ErrorKind::NotFound && is_deleted_file(path) => Ok(None),
            number => number.map_err(|error| BlindSpot::new(FILES, path, error)),
        }
    }

    /// Returns the devices with one of the kept names: below `/dev` of the process, and below that
    /// of this host.
    ///
    /// # Errors
    /// If such a `/dev` has too many entries, or folders that are too deep.
    pub(super) fn find_named(&self) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let mut numbers = Vec::new();
        if !self.names.is_empty() {
            for dev in [self.dir.join("root/dev"), self.host.path("dev")] {
                self.walk(&dev, &mut numbers)
                    .map_err(|reason| BlindSpot::new(FILES, dev.display(), reason))?;
            }
        }

        Ok(numbers)
    }

    fn walk(&self, dev: &Path, numbers: &mut Vec<DeviceNumber>) -> Result<(), String> {
        let mut entries = 0;
        let mut folders: Vec<(PathBuf, usize)> = vec![(dev.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                entries += 1;
                if entries > MAX_ENTRIES {
                    return Err(format!("it has more than {MAX_ENTRIES} entries"));
                }
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if self.names.contains(&*name) {
                        let number = self.host.number_at(&entry.path());
                        numbers.extend(number.ok().flatten());
                    }
                } else if depth == MAX_DEPTH {
                    return Err(format!("it has folders more than {MAX_DEPTH} deep"));
                } else if depth > 0 || !WITHOUT_NODES.contains(&&*name) {
                    folders.push((entry.path(), depth + 1));
                }
            }
        }

        Ok(())
    }
}

/// Reads a ring's `fdinfo`, up to one byte more than the limit.
fn read(info: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(info).ok()?;
    file.take(MAX_BYTES + 1).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Returns whether a path that leads to nothing cannot have been that of a device.
///
/// Such is the path of a file in memory. Such is also the path of a deleted file outside of any
/// folder `dev`, since nodes are created in folders of that name.
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

    /// Returns the devices of the rings with these files in `fdinfo`.
    fn find(tree: &Tree, infos: &[&str]) -> Result<Vec<DeviceNumber>, BlindSpot> {
        let host = tree.host();
        let dir = tree.path("proc/77");
        let mut rings = IoUrings::new(&host, &dir);
        let mut numbers = Vec::new();
        for info in infos {
            numbers.extend(rings.find_registered(&tree.path(&format!("proc/77/fdinfo/{info}")))?);
        }
        numbers.extend(rings.find_named()?);
        Ok(numbers)
    }

    fn found(tree: &Tree) -> Result<Vec<DeviceNumber>, BlindSpot> {
        find(tree, &["5"])
    }

    #[test]
    fn registered_disk_is_found_in_the_root_of_its_process() {
        let tree = ring(INFO);
        tree.file("proc/77/root/dev/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![DeviceNumber::Block(259, 0)]));
    }

    #[test]
    fn list_without_entries_means_a_busy_ring() {
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

        // These kernels leave out the whole list of a busy ring, so here all slots are empty.
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
    fn memory_and_deleted_files_are_not_devices() {
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
    fn deleted_file_in_a_folder_dev_is_a_blind_spot() {
        let own = ["/dev/sda", "/dev/shm", "/dev/shmem/x", "/dev/disks/shm/x"];
        for file in own.into_iter().chain(["/srv/chroot/dev/sda"]) {
            let file = format!("{file} (deleted)");
            assert_eq!(with_file(&file).unwrap_err().place, file);
        }
    }

    #[test]
    fn names_that_no_node_has_are_ignored() {
        let files = "    0: <none>\n    1: socket:[12]\n    2: anon_inode:kvm-vm\n";
        let tree = ring(&format!("UserFiles:\t3\n{files}"));
        for name in ["<none>", "socket:[12]", "anon_inode:kvm-vm"] {
            tree.file(&format!("dev/{name}"), "block 259:0\n");
        }
        tree.dir("dev/1/2/3/4/5"); // exceeds the limit of a walk

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
    fn names_of_all_rings_are_searched_at_once() {
        let tree = ring("UserFiles:\t2\n    0: xvda\n    1: xvda\n");
        tree.file(
            "proc/77/fdinfo/6",
            "UserFiles:\t2\n    0: xvda\n    1: xvdb\n",
        );
        tree.file("dev/xvda", "block 259:0\n");
        tree.file("dev/disks/xvdb", "block 259:1\n");
        let mut numbers = find(&tree, &["5", "6"]).unwrap();
        numbers.sort();

        assert_eq!(
            numbers,
            [DeviceNumber::Block(259, 0), DeviceNumber::Block(259, 1)]
        );
    }

    #[test]
    fn folder_dev_beyond_the_limits_is_a_blind_spot() {
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
        for name in 0..MAX_ENTRIES {
            tree.file(&format!("dev/{name}"), "");
        }
        assert_eq!(found(&tree), Ok(vec![]));

        tree.file("dev/one-more", "");
        assert_eq!(
            found(&tree).unwrap_err().reason,
            "it has more than 4096 entries"
        );
    }

    fn list(count: usize, path: &str) -> String {
        let files = (0..count).map(|index| format!("{index:>5}: {path}{index}\n"));
        format!("UserFiles:\t{count}\n{}", files.collect::<String>())
    }

    #[test]
    fn list_beyond_the_limits_is_a_blind_spot() {
        let sockets = list(MAX_FILES + 1, "socket:[7]");
        assert_eq!(found(&ring(&sockets)), Ok(vec![]));

        let reason = "the process has registered more than 65536 files";
        assert_eq!(
            found(&ring(&list(MAX_FILES + 1, "/x"))).unwrap_err().reason,
            reason
        );
        assert_eq!(
            found(&ring(&list(MAX_FILES + 1, "x"))).unwrap_err().reason,
            reason
        );

        let large = "x".repeat(1 + (16 << 20));
        assert_eq!(
            found(&ring(&large)).unwrap_err().reason,
            "it has more than 16 MiB"
        );
    }

    #[test]
    fn name_without_a_path_is_searched_below_dev() {
        let info = "UserFiles:\t4\n    0: xvda\n    1: <none>\n    2: [eventfd]\n    3: TCP\n";
        let tree = ring(info);
        tree.file("proc/77/root/dev/disks/xvda", "block 259:0\n");
        assert_eq!(found(&tree), Ok(vec![DeviceNumber::Block(259, 0)]));
    }

    #[test]
    fn busy_ring_and_missing_path_are_blind_spots() {
        assert_eq!(
            found(&ring("pos:\t0\n")).unwrap_err().reason,
            "the ring is busy"
        );
        assert_eq!(found(&ring(INFO)).unwrap_err().place, "/dev/xvda");
    }
}
