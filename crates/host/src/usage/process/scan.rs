//! The scan of the host's processes: the devices that they have open or mapped, and their mount
//! namespaces.
//!
//! Only root in the first PID namespace can inspect all processes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use super::file_mapping::FileMapping;
use super::io_uring::IoUrings;
use super::process::Process;
use super::vfio_file::vfio_number;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::{Host, sysfs};

/// Link target of `ns/pid` in the first PID namespace. The kernel never changes the number
/// (`PROC_PID_INIT_INO`).
pub(crate) const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

const OPENERS: &str = "processes that have it open";

/// The result of a scan of all processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    /// The devices that each process has open, mapped, or registered with an io_uring.
    pub(crate) open: Vec<(Process, BTreeSet<DeviceNumber>)>,
    /// One process of each mount namespace.
    pub(crate) mount_namespaces: Vec<Process>,
    pub(crate) blind_spots: Vec<BlindSpot>,
}

impl Processes {
    /// Scans all processes. The descriptors `own_fds` of this process are left out.
    pub(crate) fn scan(host: &Host, own_fds: &[RawFd]) -> Self {
        let proc = host.path("proc");
        let mut scan = ProcessScan {
            host,
            own_fds,
            proc: &proc,
            files: HashMap::new(),
            refused: BTreeMap::new(),
        };
        let mut found = Self::default();
        let mut namespaces = BTreeSet::new();
        scan.check_namespace();
        for pid in pids(&proc) {
            let numbers = scan.numbers(pid);
            let dir = proc.join(pid.to_string());
            let namespace = sysfs::link_name(dir.join("ns/mnt"));
            let is_first = namespace.is_some_and(|namespace| namespaces.insert(namespace));
            if numbers.is_empty() && !is_first {
                continue;
            }
            let process = Process {
                pid,
                comm: sysfs::read(dir.join("comm")).unwrap_or_default(),
            };
            if is_first {
                found.mount_namespaces.push(process.clone());
            }
            if !numbers.is_empty() {
                found.open.push((process, numbers));
            }
        }

        found.blind_spots.extend(scan.refused.into_values());
        found
    }
}

/// Lists the processes in a `/proc`.
pub(crate) fn pids(proc: &Path) -> Vec<u32> {
    let names = sysfs::names(proc);
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

struct ProcessScan<'a> {
    host: &'a Host,
    own_fds: &'a [RawFd],
    proc: &'a Path,
    /// Mapped files with the device of each. Most files are mapped by many processes.
    files: HashMap<String, Option<DeviceNumber>>,
    /// The first refusal of each kind, which stands for the others.
    refused: BTreeMap<ErrorKind, BlindSpot>,
}

impl ProcessScan<'_> {
    /// Records a blind spot if this `/proc` does not show all processes of the host.
    fn check_namespace(&mut self) {
        let link = self.proc.join("1/ns/pid");
        let (kind, reason) = match fs::read_link(&link) {
            Ok(target) if target == Path::new(FIRST_PID_NAMESPACE) => return,
            Ok(target) => {
                let reason = format!("{}, not the host's own PID namespace", target.display());
                (ErrorKind::Other, reason)
            }
            // A kernel without PID namespaces lacks the file.
            Err(error)
                if error.kind() == ErrorKind::NotFound && self.proc.join("1/ns/mnt").exists() =>
            {
                return;
            }
            Err(error) => (error.kind(), error.to_string()),
        };
        self.refused
            .insert(kind, BlindSpot::new(OPENERS, link.display(), reason));
    }

    fn numbers(&mut self, pid: u32) -> BTreeSet<DeviceNumber> {
        let dir = self.proc.join(pid.to_string());
        let mut numbers = BTreeSet::new();
        self.add_descriptors(&dir, &mut numbers);
        self.add_mappings(&dir, &mut numbers);
        for thread in self.separate_threads(&dir) {
            self.add_descriptors(&thread, &mut numbers);
            self.add_mappings(&thread, &mut numbers);
        }

        numbers
    }

    /// Returns the threads whose descriptors may differ from those of their process.
    ///
    /// Those are all threads if the first one has ended. Otherwise those are the threads with
    /// another number of descriptors: they have a table of their own (`unshare(CLONE_FILES)`).
    fn separate_threads(&self, dir: &Path) -> Vec<PathBuf> {
        let tasks = dir.join("task");
        let threads = sysfs::names(&tasks);
        if threads.len() < 2 {
            return Vec::new();
        }
        let has_ended = fs::read_dir(dir.join("fd")).is_ok_and(|mut fds| fds.next().is_none());
        threads
            .iter()
            .map(|thread| tasks.join(thread))
            .filter(|thread| has_ended || descriptor_count(thread) != descriptor_count(dir))
            .collect()
    }

    fn add_descriptors(&mut self, dir: &Path, numbers: &mut BTreeSet<DeviceNumber>) {
        let fds = dir.join("fd");
        let this = fs::read_link(self.proc.join("self")).map(|pid| self.proc.join(pid));
        let is_own = this.is_ok_and(|this| dir.starts_with(this)); // or one of its threads
        let entries = match fs::read_dir(&fds) {
            Ok(entries) => entries,
            Err(error) => return self.note_refusal(&fds, &error),
        };
        let mut rings = IoUrings::new(self.host, dir);
        for entry in entries.flatten() {
            let fd = entry.file_name().to_string_lossy().parse::<RawFd>();
            if is_own && fd.is_ok_and(|fd| self.own_fds.contains(&fd)) {
                continue;
            }
            let path = entry.path();
            match self.host.number_at(&path) {
                Ok(Some(number)) => {
                    numbers.insert(number);
                }
                Ok(None) => self.add_anonymous(&mut rings, dir, &path, numbers),
                Err(error) => self.note_refusal(&path, &error),
            }
        }

        self.add_registered(rings.find_named(), numbers);
    }

    /// Adds the devices of a file without a node: an io_uring or an open VFIO device.
    fn add_anonymous(
        &mut self,
        rings: &mut IoUrings<'_>,
        dir: &Path,
        fd: &Path,
        numbers: &mut BTreeSet<DeviceNumber>,
    ) {
        let Ok(target) = fs::read_link(fd) else {
            return;
        };
        let info = dir.join("fdinfo").join(fd.file_name().unwrap_or_default());
        match target.to_str() {
            Some("anon_inode:[io_uring]") => {
                self.add_registered(rings.find_registered(&info), numbers);
            }
            Some("anon_inode:[vfio-device]") => numbers.extend(vfio_number(self.host, &info)),
            _ => {}
        }
    }

    /// Adds the devices that are registered with an io_uring.
    fn add_registered(
        &mut self,
        registered: Result<Vec<DeviceNumber>, BlindSpot>,
        numbers: &mut BTreeSet<DeviceNumber>,
    ) {
        match registered {
            Ok(registered) => numbers.extend(registered),
            Err(blind_spot) => {
                let first = self.refused.entry(ErrorKind::WouldBlock);
                first.or_insert(blind_spot);
            }
        }
    }

    fn add_mappings(&mut self, dir: &Path, numbers: &mut BTreeSet<DeviceNumber>) {
        let path = dir.join("maps");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) => return self.note_refusal(&path, &error),
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some(FileMapping { range, file }) = FileMapping::parse(line) else {
                continue;
            };
            if let Some(known) = self.files.get(file) {
                numbers.extend(*known);
                continue;
            }
            let link = dir.join("map_files").join(range);
            match self.host.number_at(&link) {
                Ok(number) => {
                    numbers.extend(number);
                    self.files.insert(file.to_owned(), number);
                }
                Err(error) => self.note_refusal(&link, &error),
            }
        }
    }

    /// Records a refused file as a blind spot, unless the process has ended meanwhile.
    fn note_refusal(&mut self, path: &Path, error: &io::Error) {
        let has_ended = error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if has_ended || error.kind() == ErrorKind::NotFound {
            return;
        }
        self.refused
            .entry(error.kind())
            .or_insert_with(|| BlindSpot::new(OPENERS, path.display(), error));
    }
}

/// Returns the number of descriptors of a process or thread, which is the size of its `fd` folder
/// (Linux 6.2).
fn descriptor_count(dir: &Path) -> u64 {
    fs::metadata(dir.join("fd")).map_or(0, |data| data.len())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::test_tree::Tree;

    fn scan(tree: &Tree) -> Processes {
        Processes::scan(&tree.host(), &[])
    }

    fn numbers(found: &Processes) -> Vec<(u32, Vec<DeviceNumber>)> {
        let mut all: Vec<_> = found
            .open
            .iter()
            .map(|(process, n)| (process.pid, n.iter().copied().collect()))
            .collect();
        all.sort();
        all
    }

    const DISK: DeviceNumber = DeviceNumber::Block(259, 0);

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file("dev/nvme0n1", "block 259:0\n");
        tree.link("dev/alias", "nvme0n1");
        tree
    }

    #[test]
    fn node_with_another_name_is_the_same_device() {
        let tree = tree();
        tree.file("srv/container/dev/xvda", "block 259:0\n");
        tree.link("proc/77/fd/3", "/srv/container/dev/xvda");
        assert_eq!(numbers(&scan(&tree)), [(77, vec![DISK])]);
    }

    #[test]
    fn mapping_counts_without_an_open_descriptor() {
        let tree = tree();
        let maps = "00400000-00401000 r--p 00000000 fe:00 12   /bin/cat\n\
                    7f00-8f00 rw-s 00000000 00:05 99                  /dev/nvme0n1\n\
                    9f00-af00 rw-p 00000000 00:00 0                   [heap]\n";
        tree.file("proc/77/maps", maps);
        tree.link("proc/77/map_files/400000-401000", "/bin/cat");
        tree.link("proc/77/map_files/7f00-8f00", "/dev/nvme0n1");
        tree.file("bin/cat", "");
        let found = scan(&tree);

        assert_eq!(numbers(&found), [(77, vec![DISK])]);
        assert_eq!(found.blind_spots, []);
    }

    #[test]
    fn devices_registered_with_io_urings_are_found() {
        let tree = tree();
        tree.file("dev/sdb", "block 8:16\n");
        tree.file("proc/77/fd/anon_inode:[io_uring]", ""); // the target of the links in a copy
        for (fd, file) in [("3", "/dev/nvme0n1"), ("4", "sdb")] {
            tree.link(&format!("proc/77/fd/{fd}"), "anon_inode:[io_uring]");
            tree.file(
                &format!("proc/77/fdinfo/{fd}"),
                format!("UserFiles:\t1\n    0: {file}\n"),
            );
        }

        let found = scan(&tree);

        assert_eq!(
            numbers(&found),
            [(77, vec![DeviceNumber::Block(8, 16), DISK])]
        );
        assert_eq!(found.blind_spots, []);
    }

    #[test]
    fn thread_with_its_own_descriptors_is_scanned() {
        let tree = tree();
        tree.dir("proc/77/fd"); // the first thread has ended
        tree.dir("proc/77/task/77/fd");
        tree.link("proc/77/task/78/fd/3", "/dev/nvme0n1");
        assert_eq!(numbers(&scan(&tree)), [(77, vec![DISK])]);
    }

    #[test]
    fn own_descriptors_are_left_out_by_number() {
        let tree = tree();
        fs::remove_dir_all(tree.path("proc/self")).unwrap();
        tree.link("proc/self", "77");
        for fd in ["77/fd/3", "77/fd/4", "78/fd/3"] {
            tree.link(&format!("proc/{fd}"), "/dev/nvme0n1");
        }
        for (own_fds, count) in [(&[3][..], 2), (&[3, 4], 1)] {
            let found = Processes::scan(&tree.host(), own_fds);
            assert_eq!(numbers(&found).len(), count, "{own_fds:?}");
        }
    }

    /// Returns whether a scan of the real host finds `/dev/full` open in this process.
    fn has_full_open(own_fds: &[RawFd]) -> bool {
        let found = Processes::scan(&Host::new(), own_fds);
        let mut own = found
            .open
            .iter()
            .filter(|(process, _)| process.pid == std::process::id());
        own.any(|(_, numbers)| numbers.contains(&DeviceNumber::Char(1, 7)))
    }

    #[test]
    fn own_descriptors_are_left_out_on_the_real_host() {
        let file = fs::File::open("/dev/full").unwrap();
        assert!(has_full_open(&[]));
        assert!(!has_full_open(&[file.as_raw_fd()]));
    }

    #[test]
    fn other_pid_namespace_is_a_blind_spot() {
        let tree = tree();
        fs::remove_file(tree.path("proc/1/ns/pid")).unwrap();
        tree.link("proc/1/ns/pid", "pid:[4026532000]");
        let blind_spot = scan(&tree).blind_spots.remove(0);

        assert!(
            blind_spot
                .reason
                .contains("not the host's own PID namespace"),
            "{blind_spot}"
        );
    }

    #[test]
    fn proc_without_the_first_process_is_a_blind_spot() {
        let tree = tree();
        fs::remove_dir_all(tree.path("proc/1")).unwrap();
        let blind_spot = scan(&tree).blind_spots.remove(0);
        assert!(blind_spot.place.ends_with("proc/1/ns/pid"), "{blind_spot}");
        assert!(blind_spot.reason.contains("No such file"), "{blind_spot}");
    }

    #[test]
    fn each_mount_namespace_has_one_process() {
        let tree = tree();
        for (pid, namespace) in [(1, "mnt:[1]"), (77, "mnt:[2]"), (78, "mnt:[2]")] {
            tree.link(&format!("proc/{pid}/ns/mnt"), namespace);
            tree.file(&format!("proc/{pid}/comm"), "name\n");
        }

        let pids: Vec<u32> = scan(&tree)
            .mount_namespaces
            .iter()
            .map(|process| process.pid)
            .collect();
        assert_eq!(pids, [1, 77]);
    }
}
