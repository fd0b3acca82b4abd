//! Mounts and swap space, of all mount namespaces that can be seen.

use std::collections::HashSet;
use std::fs;

use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::process::scan::Process;
use crate::usage::report::BlindSpot;

const FILE_SYSTEMS: &str = "mounted file systems";

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mount {
    /// DeviceNumber of its block device; an anonymous one for file systems over several devices.
    pub(crate) number: Option<DeviceNumber>,
    /// The part of the file system that is mounted.
    pub(crate) root: String,
    pub(crate) mount_point: String,
    /// Kind of the file system: `ext4`, `nfs4`, …
    pub(crate) kind: String,
    pub(crate) source: String,
    /// Options of the file system, such as `addr=10.0.0.1` of a network's.
    pub(crate) options: String,
}

/// The mounts of one mount namespace.
#[derive(Clone, Debug)]
pub(crate) struct MountNamespace {
    /// A process in it; `None` for this process.
    pub(crate) process: Option<Process>,
    pub(crate) mounts: Vec<Mount>,
}

/// Reads the mounts that this process has, then those that only other namespaces have.
pub(crate) fn namespaces(
    host: &Host,
    processes: &[Process],
    blind_spots: &mut Vec<BlindSpot>,
) -> Vec<MountNamespace> {
    let own = host.path("proc/self/mountinfo");
    let mounts = match fs::read(&own) {
        Ok(text) => parse(&text),
        Err(error) => {
            blind_spots.push(BlindSpot::new(FILE_SYSTEMS, own.display(), error));
            Vec::new()
        }
    };
    let mut known: HashSet<Mount> = mounts.iter().cloned().collect();
    let mut namespaces = vec![MountNamespace {
        process: None,
        mounts,
    }];
    for process in processes {
        // A process that has ended shows none. What its namespace mounts is still held exclusively.
        let text =
            fs::read(host.path(&format!("proc/{}/mountinfo", process.pid))).unwrap_or_default();
        let mut mounts = parse(&text);
        mounts.retain(|mount| known.insert(mount.clone()));
        namespaces.push(MountNamespace {
            process: Some(process.clone()),
            mounts,
        });
    }
    namespaces
}

/// Returns the paths of the swap devices and files.
pub(crate) fn swaps(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<String> {
    let path = host.path("proc/swaps");
    let text = match fs::read(&path) {
        Ok(text) => text,
        // A kernel without swap has no such file; a `/proc` that hides it hides its neighbours too.
        Err(_) if host.path("proc/filesystems").exists() => Vec::new(),
        Err(error) => {
            blind_spots.push(BlindSpot::new("swap devices", path.display(), error));
            Vec::new()
        }
    };
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(unescape)
        .collect()
}

/// Reads a table of mounts.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(parse_line)
        .collect()
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`
fn parse_line(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let mut rest = rest.split(' ').map(unescape);
    Some(Mount {
        number: DeviceNumber::parse_block(fields.next()?),
        root: unescape(fields.next()?),
        mount_point: unescape(fields.next()?),
        kind: rest.next()?,
        source: rest.next()?,
        options: rest.next()?,
    })
}

/// Leaves mounts of parts of a file system out (there can be hundreds) where all of it is mounted.
pub(crate) fn without_binds(mut mounts: Vec<&Mount>) -> Vec<&Mount> {
    if mounts.iter().any(|mount| mount.root == "/") {
        mounts.retain(|mount| mount.root == "/");
    }
    mounts
}

/// Undoes the kernel's escapes: `\040` for a space, and so on.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| str::from_utf8(digits).ok());
        let escaped = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn undoes_escapes_and_leaves_the_rest() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\04"), r"/a\04");
        assert_eq!(unescape("/ü"), "/ü");
    }

    #[test]
    fn only_what_other_namespaces_have_alone_is_theirs() {
        let tree = Tree::new();
        let shared = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        tree.file("proc/self/mountinfo", shared);
        tree.file(
            "proc/77/mountinfo",
            format!("{shared}30 22 8:2 / /mnt rw - ext4 /dev/sda2 rw\n"),
        );
        let service = Process {
            pid: 77,
            comm: "service".into(),
        };
        let mut blind_spots = Vec::new();
        let found = namespaces(
            &tree.host(),
            std::slice::from_ref(&service),
            &mut blind_spots,
        );
        assert_eq!(
            (found[0].mounts.len(), &found[1].process),
            (1, &Some(service))
        );
        assert_eq!(found[1].mounts.len(), 1);
        assert_eq!(found[1].mounts[0].mount_point, "/mnt");
        assert_eq!(blind_spots, []);
    }

    #[test]
    fn proc_that_hides_mounts_and_swap_is_unseen() {
        let tree = Tree::new();
        for file in ["self/mountinfo", "swaps", "filesystems"] {
            fs::remove_file(tree.path(&format!("proc/{file}"))).unwrap();
        }
        let mut blind_spots = Vec::new();
        namespaces(&tree.host(), &[], &mut blind_spots);
        swaps(&tree.host(), &mut blind_spots);
        let usages: Vec<&str> = blind_spots.iter().map(|spot| spot.usages).collect();
        assert_eq!(usages, ["mounted file systems", "swap devices"]);
    }
}
