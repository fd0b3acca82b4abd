//! Network namespaces: those that a process is in or has open, and those that are mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use rustix::net::netlink;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::socket::Socket;
use super::storage::MountTable;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::disk::mounts;
use crate::usage::process::scan::{FIRST_PID_NAMESPACE, pids};
use crate::{Host, sysfs};

/// The usages that an unreadable namespace hides.
pub(super) const USAGES: &str = "uses of network interfaces";

/// Device and inode of a namespace file, which identify the namespace.
type NamespaceId = (u64, u64);

/// A network namespace.
#[derive(Debug)]
pub(super) struct NetworkNamespace {
    /// Description for messages, such as `network namespace blue`.
    pub(super) name: String,
    file: File,
    id: NamespaceId,
}

/// Netlink sockets of one namespace.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) route: Socket,
    pub(super) connections: io::Result<Socket>,
    pub(super) generic: io::Result<Socket>,
    /// Content of `/proc/net/pppoe`; empty without PPPoE.
    pub(super) pppoe: String,
}

/// The network namespaces of the host, and what its processes show of the networks.
#[derive(Debug, Default)]
pub(super) struct NamespaceSurvey {
    /// The namespaces. The first one is that of the host's first process.
    pub(super) namespaces: Vec<NetworkNamespace>,
    /// One table for each mount namespace.
    pub(super) mounts: Vec<MountTable>,
    /// Inodes of the sockets of SSH servers.
    pub(super) ssh_sockets: BTreeSet<u32>,
    pub(super) blind_spots: Vec<BlindSpot>,
    known: BTreeMap<NamespaceId, usize>,
    mount_namespaces: BTreeSet<NamespaceId>,
    is_denied: bool,
}

impl NamespaceSurvey {
    /// Scans the processes in `/proc`.
    pub(super) fn scan(host: &Host) -> Self {
        let proc = host.path("proc");
        let mut survey = Self::default();
        survey.add_host(&proc);
        for pid in pids(&proc) {
            survey.add_process(&proc.join(pid.to_string()), pid);
        }
        if survey.is_denied {
            survey.add_blind_spot("/proc/PID/ns/net", "permission denied");
        }
        let own = fs::read_link(proc.join("self/ns/pid"));
        if !own.is_ok_and(|own| own == Path::new(FIRST_PID_NAMESPACE)) {
            let reason = "passthru does not run in the first pid namespace";
            survey.add_blind_spot("/proc/PID/ns/net", reason);
        }

        survey
    }

    fn add_blind_spot(&mut self, place: &str, reason: impl std::fmt::Display) {
        self.blind_spots.push(BlindSpot::new(USAGES, place, reason));
    }

    /// Adds the namespace of the host's first process; if that is hidden, the one of this process.
    fn add_host(&mut self, proc: &Path) {
        let first = self.add(&proc.join("1/ns/net"), "the network namespace of the host");
        if let Err(error) = first {
            self.add_blind_spot("/proc/1/ns/net", error);
            let name = "the network namespace of passthru";
            let own = self.add(&proc.join("thread-self/ns/net"), name);
            self.note_failure(name, own);
        }
    }

    fn add_process(&mut self, process: &Path, pid: u32) {
        let comm = sysfs::read(process.join("comm")).unwrap_or_default();
        let name = format!("the network namespace of {comm} (pid {pid})");
        let network = self.add(&process.join("ns/net"), &name);
        if let Ok(network) = network {
            self.add_mounts(process, network);
        }
        self.note_failure(&name, network);
        self.add_threads(process, pid, &name);
        let is_ssh = comm.starts_with("sshd") || comm == "dropbear";
        let files = process.join("fd");
        for file in sysfs::names(&files) {
            let Ok(target) = fs::read_link(files.join(&file)) else {
                continue;
            };
            let target = target.to_string_lossy();
            if target.starts_with("net:[") {
                let network = self.add(&files.join(&file), &name);
                self.note_failure(&name, network);
            } else if is_ssh && let Some(inode) = socket_inode(&target) {
                self.ssh_sockets.insert(inode);
            }
        }
    }

    /// Adds the namespaces that single threads of a process have entered.
    fn add_threads(&mut self, process: &Path, pid: u32, name: &str) {
        let tasks = process.join("task");
        let first = pid.to_string();
        for thread in sysfs::names(&tasks) {
            if thread != first {
                let network = self.add(&tasks.join(thread).join("ns/net"), name);
                self.note_failure(name, network);
            }
        }
    }

    /// Reads the mounts of a process, and adds the namespaces that are mounted there.
    fn add_mounts(&mut self, process: &Path, network: usize) {
        let Ok(id) = namespace_id(&process.join("ns/mnt")) else {
            return;
        };
        if !self.mount_namespaces.insert(id) {
            return;
        }
        let Ok(text) = fs::read(process.join("mountinfo")) else {
            return;
        };
        let mounts = mounts::parse(&text);
        for mount in &mounts {
            if mount.kind == "nsfs" && mount.root.starts_with("net:[") {
                self.add_mounted(process, &mount.mount_point);
            }
        }

        self.mounts.push(MountTable { network, mounts });
    }

    /// Adds a namespace that is mounted, and names it after its file.
    fn add_mounted(&mut self, process: &Path, mount_point: &str) {
        let file = mount_point.rsplit('/').next().unwrap_or(mount_point);
        let name = format!("network namespace {file}");
        let inside = mount_point.trim_start_matches('/');
        let added = self.add(&process.join("root").join(inside), &name);
        if let Ok(number @ 1..) = added {
            self.namespaces[number].name.clone_from(&name);
        }
        self.note_failure(&name, added);
    }

    /// Adds a namespace unless it is known, and returns its index in the list.
    fn add(&mut self, path: &Path, name: &str) -> io::Result<usize> {
        let id = namespace_id(path)?;
        if let Some(number) = self.known.get(&id) {
            return Ok(*number);
        }
        let file = File::open(path)?;
        let number = self.namespaces.len();
        self.namespaces.push(NetworkNamespace {
            name: name.to_owned(),
            file,
            id,
        });
        self.known.insert(id, number);
        Ok(number)
    }

    /// Records a namespace that could not be opened, unless its process has ended meanwhile.
    fn note_failure(&mut self, name: &str, result: io::Result<usize>) {
        const NO_SUCH_PROCESS: i32 = 3;
        let Err(error) = result else { return };
        match error.kind() {
            io::ErrorKind::NotFound => {}
            io::ErrorKind::PermissionDenied => self.is_denied = true,
            _ if error.raw_os_error() == Some(NO_SUCH_PROCESS) => {}
            _ => self.add_blind_spot(name, error),
        }
    }
}

impl NetworkNamespace {
    /// Opens sockets in the namespace, on a thread that enters the namespace and then ends.
    pub(super) fn sockets(&self, host: &Host) -> io::Result<Sockets> {
        let proc = host.path("proc/thread-self");
        let is_own = namespace_id(&proc.join("ns/net"))? == self.id;
        thread::scope(|scope| {
            let opener = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || self.open_sockets(&proc, is_own))?;
            opener
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread in it panicked")))
        })
    }

    /// Opens sockets on the calling thread, which enters the namespace unless it is there already.
    fn open_sockets(&self, proc: &Path, is_own: bool) -> io::Result<Sockets> {
        if !is_own {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        Ok(Sockets {
            route: Socket::open(None)?,
            connections: Socket::open(Some(netlink::SOCK_DIAG)),
            generic: Socket::open(Some(netlink::GENERIC)),
            pppoe: sysfs::read(proc.join("net/pppoe")).unwrap_or_default(),
        })
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn namespace_id(path: &Path) -> io::Result<NamespaceId> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Reads the inode in `socket:[123]`.
fn socket_inode(target: &str) -> Option<u32> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    /// Returns the names of the namespaces that a tree shows.
    fn names(tree: &Tree) -> Vec<String> {
        let survey = NamespaceSurvey::scan(&tree.host());
        survey
            .namespaces
            .iter()
            .map(|namespace| namespace.name.clone())
            .collect()
    }

    fn process(tree: &Tree, pid: u32, name: &str) {
        tree.file(&format!("proc/{pid}/comm"), format!("{name}\n"));
        tree.file(&format!("proc/{pid}/ns/net"), "");
        tree.file(&format!("proc/{pid}/ns/mnt"), "");
    }

    #[test]
    fn namespace_of_a_process_and_of_a_thread_is_found() {
        let tree = Tree::new();
        process(&tree, 1, "init");
        process(&tree, 20, "container");
        tree.file("proc/20/task/20/ns/net", "");
        tree.file("proc/20/task/21/ns/net", "");
        let container = "the network namespace of container (pid 20)";

        assert_eq!(
            names(&tree),
            ["the network namespace of the host", container, container]
        );
    }

    #[test]
    fn namespace_that_is_mounted_has_the_name_of_its_file() {
        let tree = Tree::new();
        process(&tree, 1, "init");
        tree.file("proc/1/root/run/netns/blue", "");
        let mounts = "30 22 0:4 net:[4026532281] /run/netns/blue rw shared:5 - nsfs nsfs rw\n\
                      31 22 0:4 mnt:[4026532282] /run/snapd/ns/x rw - nsfs nsfs rw\n";
        tree.file("proc/1/mountinfo", mounts);
        let expected = [
            "the network namespace of the host",
            "network namespace blue",
        ];

        assert_eq!(names(&tree), expected);
    }

    #[test]
    fn sockets_of_the_ssh_server_are_known_by_its_name() {
        let tree = Tree::new();
        for (pid, name) in [
            (1, "init"),
            (20, "sshd"),
            (21, "sshd-session"),
            (22, "nginx"),
        ] {
            process(&tree, pid, name);
            tree.link(
                &format!("proc/{pid}/fd/3"),
                &format!("socket:[{}]", 1000 + pid),
            );
        }

        let survey = NamespaceSurvey::scan(&tree.host());
        assert_eq!(survey.ssh_sockets, [1020, 1021].into());
    }

    #[test]
    fn hidden_first_process_is_a_blind_spot() {
        let tree = Tree::new();
        tree.link("proc/self/ns/pid", FIRST_PID_NAMESPACE);
        process(&tree, 20, "shell");
        tree.file("proc/thread-self/ns/net", "");
        let survey = NamespaceSurvey::scan(&tree.host());

        assert_eq!(survey.blind_spots[0].place, "/proc/1/ns/net");
        assert_eq!(
            survey.namespaces[0].name,
            "the network namespace of passthru"
        );
    }

    #[test]
    fn other_pid_namespace_is_a_blind_spot() {
        let tree = Tree::new();
        process(&tree, 1, "init");
        tree.link("proc/self/ns/pid", "pid:[4026532180]");
        assert_eq!(NamespaceSurvey::scan(&tree.host()).blind_spots.len(), 1);

        let tree = Tree::new();
        process(&tree, 1, "init");
        tree.link("proc/self/ns/pid", FIRST_PID_NAMESPACE);
        assert_eq!(NamespaceSurvey::scan(&tree.host()).blind_spots, []);
    }
}
