//! What the host's processes have open and mapped, and the mount namespaces that they are in;
//! looked at once for many devices. All of them can be seen by root alone, in the first PID
//! namespace.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use super::io_uring::IoUrings;
use super::vfio_file;
use crate::device::DeviceNumber;
use crate::usage::report::BlindSpot;
use crate::{Host, sysfs};

/// DeviceNumber of the first PID namespace, which the kernel never changes (`PROC_PID_INIT_INO`).
pub(crate) const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

const OPENERS: &str = "processes that have it open";

/// Names of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) comm: String,
}

/// A look at all processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    /// The devices that each process has open, mapped, or registered with an io_uring.
    pub(crate) open: Vec<(Process, BTreeSet<DeviceNumber>)>,
    /// One process of each mount namespace.
    pub(crate) mount_namespaces: Vec<Process>,
    pub(crate) blind_spots: Vec<BlindSpot>,
}

impl Processes {
    /// Looks at all processes but at these descriptors of this one.
    pub(crate) fn scan(host: &Host, own: &[RawFd]) -> Self {
        let proc = host.path("proc");
        let mut look = ProcessScan {
            host,
            own,
            proc: &proc,
            files: HashMap::new(),
            refused: BTreeMap::new(),
        };
        let mut found = Self::default();
        let mut namespaces = BTreeSet::new();
        look.check_namespace();
        for pid in pids(&proc) {
            let numbers = look.numbers(pid);
            let dir = proc.join(pid.to_string());
            let namespace = sysfs::link_name(dir.join("ns/mnt"));
            let first = namespace.is_some_and(|namespace| namespaces.insert(namespace));
            if numbers.is_empty() && !first {
                continue;
            }
            let process = Process {
                pid,
                comm: sysfs::read(dir.join("comm")).unwrap_or_default(),
            };
            if first {
                found.mount_namespaces.push(process.clone());
            }
            if !numbers.is_empty() {
                found.open.push((process, numbers));
            }
        }
        found.blind_spots.extend(look.refused.into_values());
        found
    }
}

/// Lists the processes that a `/proc` shows.
pub(crate) fn pids(proc: &Path) -> Vec<u32> {
    sysfs::names(proc)
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

struct ProcessScan<'a> {
    host: &'a Host,
    own: &'a [RawFd],
    proc: &'a Path,
    /// The files that are mapped, most of which are so by many processes.
    files: HashMap<String, Option<DeviceNumber>>,
    /// The first refusal of each kind: the others are like it.
    refused: BTreeMap<ErrorKind, BlindSpot>,
}

impl ProcessScan<'_> {
    /// Notes when this `/proc` does not show all processes of the host.
    fn check_namespace(&mut self) {
        let link = self.proc.join("1/ns/pid");
        let (kind, reason) = match fs::read_link(&link) {
            Ok(target) if target == Path::new(FIRST_PID_NAMESPACE) => return,
            Ok(target) => {
                let reason = format!("{}, not the host's own PID namespace", target.display());
                (ErrorKind::Other, reason)
            }
            // A kernel without PID namespaces has one, and no file for it.
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
        self.descriptors(&dir, &mut numbers);
        self.maps(&dir, &mut numbers);
        for thread in self.other_threads(&dir) {
            self.descriptors(&thread, &mut numbers);
            self.maps(&thread, &mut numbers);
        }
        numbers
    }

    /// Returns the threads whose descriptors are not those of their process, by count: where the
    /// first thread has ended, and where one has a table of its own (`unshare(CLONE_FILES)`).
    fn other_threads(&self, dir: &Path) -> Vec<PathBuf> {
        let tasks = dir.join("task");
        let threads = sysfs::names(&tasks);
        if threads.len() < 2 {
            return Vec::new();
        }
        let count = |dir: &Path| fs::metadata(dir.join("fd")).map_or(0, |data| data.len());
        let ended = fs::read_dir(dir.join("fd")).is_ok_and(|mut fds| fds.next().is_none());
        let threads = threads.iter().map(|thread| tasks.join(thread));
        threads
            .filter(|thread| ended || count(thread) != count(dir))
            .collect()
    }

    fn descriptors(&mut self, dir: &Path, numbers: &mut BTreeSet<DeviceNumber>) {
        let fds = dir.join("fd");
        let this = fs::read_link(self.proc.join("self")).map(|pid| self.proc.join(pid));
        let own = this.is_ok_and(|this| dir.starts_with(this)); // or one of its threads
        let entries = match fs::read_dir(&fds) {
            Ok(entries) => entries,
            Err(error) => return self.note(&fds, &error),
        };
        let mut rings = IoUrings::new(self.host, dir);
        for entry in entries.flatten() {
            let fd = entry.file_name().to_string_lossy().parse::<RawFd>();
            if own && fd.is_ok_and(|fd| self.own.contains(&fd)) {
                continue;
            }
            let path = entry.path();
            match self.host.number_at(&path) {
                Ok(Some(number)) => {
                    numbers.insert(number);
                }
                Ok(None) => self.anonymous(&mut rings, dir, &path, numbers),
                Err(error) => self.note(&path, &error),
            }
        }
        self.add(rings.named(), numbers);
    }

    /// Looks into a file without a node, which can hold a device or several.
    fn anonymous(
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
            Some("anon_inode:[io_uring]") => self.add(rings.registered(&info), numbers),
            Some("anon_inode:[vfio-device]") => numbers.extend(vfio_file::number(self.host, &info)),
            _ => {}
        }
    }

    /// Adds the devices that are registered with a ring.
    fn add(
        &mut self,
        registered: Result<Vec<DeviceNumber>, BlindSpot>,
        numbers: &mut BTreeSet<DeviceNumber>,
    ) {
        match registered {
            Ok(registered) => numbers.extend(registered),
            Err(blind_spot) => {
                self.refused
                    .entry(ErrorKind::WouldBlock)
                    .or_insert(blind_spot);
            }
        }
    }

    fn maps(&mut self, dir: &Path, numbers: &mut BTreeSet<DeviceNumber>) {
        let path = dir.join("maps");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) => return self.note(&path, &error),
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
                Err(error) => self.note(&link, &error),
            }
        }
    }

    /// Notes what was refused. A process that has ended meanwhile is not an error.
    fn note(&mut self, path: &Path, error: &io::Error) {
        let ended = error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if ended || error.kind() == ErrorKind::NotFound {
            return;
        }
        self.refused
            .entry(error.kind())
            .or_insert_with(|| BlindSpot::new(OPENERS, path.display(), error));
    }
}

/// A line of `/proc/PID/maps` for a file with a path.
struct FileMapping<'t> {
    /// Its name in `map_files`.
    range: String,
    /// Device, inode and path: the same for the same file.
    file: &'t str,
}

impl<'t> FileMapping<'t> {
    /// `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`
    fn parse(line: &'t str) -> Option<Self> {
        let mut fields = line.splitn(4, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let file = fields.nth(2)?;
        let path = file.splitn(3, ' ').nth(2)?.trim_start();
        let bare = |digits: &'t str| digits.trim_start_matches('0');
        path.starts_with('/').then(|| Self {
            range: format!("{}-{}", bare(start), bare(end)),
            file,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn look(tree: &Tree) -> Processes {
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
    fn node_under_another_name_is_the_same_device() {
        let tree = tree();
        tree.file("srv/container/dev/xvda", "block 259:0\n");
        tree.link("proc/77/fd/3", "/srv/container/dev/xvda");
        assert_eq!(numbers(&look(&tree)), [(77, vec![DISK])]);
    }

    #[test]
    fn mapping_counts_after_its_descriptor_was_closed() {
        let tree = tree();
        let maps = "00400000-00401000 r--p 00000000 fe:00 12   /bin/cat\n\
                    7f00-8f00 rw-s 00000000 00:05 99                  /dev/nvme0n1\n\
                    9f00-af00 rw-p 00000000 00:00 0                   [heap]\n";
        tree.file("proc/77/maps", maps);
        tree.link("proc/77/map_files/400000-401000", "/bin/cat");
        tree.link("proc/77/map_files/7f00-8f00", "/dev/nvme0n1");
        tree.file("bin/cat", "");
        let found = look(&tree);
        assert_eq!(numbers(&found), [(77, vec![DISK])]);
        assert_eq!(found.blind_spots, []);
    }

    #[test]
    fn rings_of_a_process_show_paths_and_names() {
        let tree = tree();
        tree.file("dev/sdb", "block 8:16\n");
        tree.file("proc/77/fd/anon_inode:[io_uring]", ""); // where the links lead in a copy
        for (fd, file) in [("3", "/dev/nvme0n1"), ("4", "sdb")] {
            tree.link(&format!("proc/77/fd/{fd}"), "anon_inode:[io_uring]");
            tree.file(
                &format!("proc/77/fdinfo/{fd}"),
                format!("UserFiles:\t1\n    0: {file}\n"),
            );
        }
        let found = look(&tree);
        assert_eq!(
            numbers(&found),
            [(77, vec![DeviceNumber::Block(8, 16), DISK])]
        );
        assert_eq!(found.blind_spots, []);
    }

    #[test]
    fn threads_with_descriptors_of_their_own_are_looked_at() {
        let tree = tree();
        tree.dir("proc/77/fd"); // the first thread has ended
        tree.dir("proc/77/task/77/fd");
        tree.link("proc/77/task/78/fd/3", "/dev/nvme0n1");
        assert_eq!(numbers(&look(&tree)), [(77, vec![DISK])]);
    }

    #[test]
    fn own_descriptors_are_left_out_by_number() {
        let tree = tree();
        fs::remove_dir_all(tree.path("proc/self")).unwrap();
        tree.link("proc/self", "77");
        for fd in ["77/fd/3", "77/fd/4", "78/fd/3"] {
            tree.link(&format!("proc/{fd}"), "/dev/nvme0n1");
        }
        let open = |own: &[RawFd]| numbers(&Processes::scan(&tree.host(), own)).len();
        assert_eq!((open(&[3]), open(&[3, 4])), (2, 1));
    }

    #[test]
    fn own_descriptors_are_left_out_on_the_real_host() {
        use std::os::fd::AsRawFd;
        let file = fs::File::open("/dev/full").unwrap();
        let pid = std::process::id();
        let has = |own: &[RawFd]| {
            let found = Processes::scan(&Host::new(), own);
            let mut own = found.open.iter().filter(|(process, _)| process.pid == pid);
            own.any(|(_, numbers)| numbers.contains(&DeviceNumber::Char(1, 7)))
        };
        assert!(has(&[]));
        assert!(!has(&[file.as_raw_fd()]));
    }

    #[test]
    fn another_pid_namespace_hides_processes() {
        let tree = tree();
        fs::remove_file(tree.path("proc/1/ns/pid")).unwrap();
        tree.link("proc/1/ns/pid", "pid:[4026532000]");
        let blind_spot = look(&tree).blind_spots.remove(0);
        assert!(
            blind_spot
                .reason
                .contains("not the host's own PID namespace"),
            "{blind_spot}"
        );
    }

    #[test]
    fn proc_without_the_first_process_hides_processes() {
        let tree = tree();
        fs::remove_dir_all(tree.path("proc/1")).unwrap();
        let blind_spot = look(&tree).blind_spots.remove(0);
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
        let pids: Vec<u32> = look(&tree)
            .mount_namespaces
            .iter()
            .map(|process| process.pid)
            .collect();
        assert_eq!(pids, [1, 77]);
    }
}
