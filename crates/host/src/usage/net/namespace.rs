//! Network namespaces: every one that a process is in or holds open, or that is mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use rustix::net::netlink;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::socket::Socket;
use super::storage::MountTable;
use crate::usage::disk::mounts;
use crate::usage::process::scan::{FIRST_PID_NAMESPACE, pids};
use crate::usage::report::BlindSpot;
use crate::{Host, sysfs};

/// The uses that a namespace which cannot be seen hides.
pub(super) const USES: &str = "uses of network interfaces";

/// Device and inode: two files with the same are the same namespace.
type NamespaceId = (u64, u64);

/// A network namespace.
#[derive(Debug)]
pub(super) struct NetworkNamespace {
    /// Words for messages, such as `network namespace blue`.
    pub(super) name: String,
    file: File,
    identity: NamespaceId,
}

/// Sockets that were opened in a namespace and ask there.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) route: Socket,
    pub(super) connections: io::Result<Socket>,
    pub(super) generic: io::Result<Socket>,
    /// `/proc/net/pppoe`; empty without PPPoE.
    pub(super) pppoe: String,
}

/// What the processes of the host show of its networks.
#[derive(Debug, Default)]
pub(super) struct NamespaceSurvey {
    /// The namespaces; the first is that of the host's first process.
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
    /// Looks through `/proc`.
    pub(super) fn scan(host: &Host) -> Self {
        let proc = host.path("proc");
        let mut census = Self::default();
        let first = census.add(&proc.join("1/ns/net"), "the network namespace of the host");
        if let Err(error) = first {
            census
                .blind_spots
                .push(BlindSpot::new(USES, "/proc/1/ns/net", error));
            let own = census.add(
                &proc.join("thread-self/ns/net"),
                "the network namespace of passthru",
            );
            census.note("the network namespace of passthru", own);
        }
        for pid in pids(&proc) {
            census.visit(&proc.join(pid.to_string()), pid);
        }
        if census.is_denied {
            census.blind_spots.push(BlindSpot::new(
                USES,
                "/proc/PID/ns/net",
                "permission denied",
            ));
        }
        let pids = fs::read_link(proc.join("self/ns/pid"));
        if !pids.is_ok_and(|pids| pids == Path::new(FIRST_PID_NAMESPACE)) {
            let why = "passthru does not run in the first pid namespace";
            census
                .blind_spots
                .push(BlindSpot::new(USES, "/proc/PID/ns/net", why));
        }
        census
    }

    fn visit(&mut self, process: &Path, pid: u32) {
        let name = sysfs::read(process.join("comm")).unwrap_or_default();
        let words = format!("the network namespace of {name} (pid {pid})");
        let network = self.add(&process.join("ns/net"), &words);
        if let Ok(network) = network {
            self.add_mounts(process, network);
        }
        self.note(&words, network);
        self.add_threads(process, pid, &words);
        let is_ssh = name.starts_with("sshd") || name == "dropbear";
        let files = process.join("fd");
        for file in sysfs::names(&files) {
            let Ok(target) = fs::read_link(files.join(&file)) else {
                continue;
            };
            let target = target.to_string_lossy();
            if target.starts_with("net:[") {
                let network = self.add(&files.join(&file), &words);
                self.note(&words, network);
            } else if is_ssh && let Some(inode) = bracketed(&target, "socket:[") {
                self.ssh_sockets.insert(inode);
            }
        }
    }

    /// Adds the namespaces that single threads of a process have entered.
    fn add_threads(&mut self, process: &Path, pid: u32, words: &str) {
        let tasks = process.join("task");
        let first = pid.to_string();
        for thread in sysfs::names(&tasks)
            .into_iter()
            .filter(|thread| *thread != first)
        {
            let network = self.add(&tasks.join(thread).join("ns/net"), words);
            self.note(words, network);
        }
    }

    /// Reads the mounts of a process, and the namespaces that are mounted there.
    fn add_mounts(&mut self, process: &Path, network: usize) {
        let Ok(identity) = identity(&process.join("ns/mnt")) else {
            return;
        };
        if !self.mount_namespaces.insert(identity) {
            return;
        }
        let Ok(text) = fs::read(process.join("mountinfo")) else {
            return;
        };
        let mounts = mounts::parse(&text);
        let networks = mounts
            .iter()
            .filter(|mount| mount.kind == "nsfs" && mount.root.starts_with("net:["));
        for place in networks.map(|mount| &mount.mount_point) {
            let name = place.rsplit('/').next().unwrap_or(place);
            let words = format!("network namespace {name}");
            let inside = place.trim_start_matches('/');
            let added = self.add(&process.join("root").join(inside), &words);
            if let Ok(number @ 1..) = added {
                self.namespaces[number].name.clone_from(&words);
            }
            self.note(&words, added);
        }
        self.mounts.push(MountTable { network, mounts });
    }

    /// Adds a namespace unless it is known; returns its place in the list.
    fn add(&mut self, path: &Path, name: &str) -> io::Result<usize> {
        let identity = identity(path)?;
        if let Some(number) = self.known.get(&identity) {
            return Ok(*number);
        }
        let file = File::open(path)?;
        let number = self.namespaces.len();
        self.namespaces.push(NetworkNamespace {
            name: name.to_owned(),
            file,
            identity,
        });
        self.known.insert(identity, number);
        Ok(number)
    }

    /// Records that a namespace could not be opened; not if its process ended meanwhile.
    fn note(&mut self, name: &str, result: io::Result<usize>) {
        const NO_SUCH_PROCESS: i32 = 3;
        let Err(error) = result else { return };
        match error.kind() {
            io::ErrorKind::NotFound => {}
            io::ErrorKind::PermissionDenied => self.is_denied = true,
            _ if error.raw_os_error() == Some(NO_SUCH_PROCESS) => {}
            _ => self.blind_spots.push(BlindSpot::new(USES, name, error)),
        }
    }
}

impl NetworkNamespace {
    /// Opens sockets in the namespace, from a thread that enters it and ends.
    pub(super) fn sockets(&self, host: &Host) -> io::Result<Sockets> {
        let proc = host.path("proc/thread-self");
        let is_own = identity(&proc.join("ns/net"))? == self.identity;
        thread::scope(|scope| {
            let opener = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || {
                    if !is_own {
                        move_into_link_name_space(
                            self.file.as_fd(),
                            Some(LinkNameSpaceType::Network),
                        )?;
                    }
                    Ok(Sockets {
                        route: Socket::open(None)?,
                        connections: Socket::open(Some(netlink::SOCK_DIAG)),
                        generic: Socket::open(Some(netlink::GENERIC)),
                        pppoe: sysfs::read(proc.join("net/pppoe")).unwrap_or_default(),
                    })
                })?;
            opener
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread in it panicked")))
        })
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn identity(path: &Path) -> io::Result<NamespaceId> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Returns the number in `socket:[123]`.
fn bracketed(text: &str, before: &str) -> Option<u32> {
    text.strip_prefix(before)?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    /// Returns the names of the namespaces that a tree shows.
    fn names(tree: &Tree) -> Vec<String> {
        let census = NamespaceSurvey::scan(&tree.host());
        census
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
        let census = NamespaceSurvey::scan(&tree.host());
        assert_eq!(census.ssh_sockets, [1020, 1021].into());
    }

    #[test]
    fn hidden_first_process_is_unseen() {
        let tree = Tree::new();
        tree.link("proc/self/ns/pid", FIRST_PID_NAMESPACE);
        process(&tree, 20, "shell");
        tree.file("proc/thread-self/ns/net", "");
        let census = NamespaceSurvey::scan(&tree.host());
        assert_eq!(census.blind_spots[0].place, "/proc/1/ns/net");
        assert_eq!(
            census.namespaces[0].name,
            "the network namespace of passthru"
        );
    }

    #[test]
    fn another_pid_namespace_is_unseen() {
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
