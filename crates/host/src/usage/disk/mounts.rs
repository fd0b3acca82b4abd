//! Mounts and swap space, of all mount namespaces that can be inspected.

use std::collections::HashSet;
use std::fs;

use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::escape::unescape;
use crate::usage::process::Process;

const FILE_SYSTEMS: &str = "mounted file systems";

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mount {
    /// Number of the block device. A file system over several devices has an anonymous number.
    pub(crate) number: Option<DeviceNumber>,
    /// Path within the file system that is mounted; `/` for the whole file system.
    pub(crate) root: String,
    pub(crate) mount_point: String,
    /// Type of the file system: `ext4`, `nfs4`, …
    pub(crate) kind: String,
    pub(crate) source: String,
    /// Options of the file system, such as `addr=10.0.0.1` of a network file system.
    pub(crate) options: String,
}

/// The mounts of one mount namespace.
#[derive(Clone, Debug)]
pub(crate) struct MountNamespace {
    /// A process in the namespace; `None` for the namespace of this process.
    pub(crate) process: Option<Process>,
    pub(crate) mounts: Vec<Mount>,
}

/// Reads the mounts of this process, then the mounts that only other namespaces have.
///
/// `processes` has one process of each mount namespace.
pub(super) fn mount_namespaces(
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
        // The file of a process that has ended is gone. A file system that is still mounted in its
        // namespace holds the disk exclusively, which another check finds.
        let path = host.path(&format!("proc/{}/mountinfo", process.pid));
        let text = fs::read(path).unwrap_or_default();
        let mut mounts = parse(&text);
        mounts.retain(|mount| known.insert(mount.clone()));
        namespaces.push(MountNamespace {
            process: Some(process.clone()),
            mounts,
        });
    }

    namespaces
}

/// Returns the paths of the swap devices and swap files.
pub(super) fn swaps(host: &Host, blind_spots: &mut Vec<BlindSpot>) -> Vec<String> {
    let path = host.path("proc/swaps");
    let text = match fs::read(&path) {
        Ok(text) => text,
        // A kernel without swap lacks the file. A `/proc` that hides the file hides its neighbours
        // too.
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

/// Parses a `mountinfo` file. Lines that do not parse are left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter_map(parse_line).collect()
}

/// Parses `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`.
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

/// Removes the mounts of parts of a file system if the whole file system is mounted too. There can
/// be hundreds of such bind mounts.
pub(super) fn without_binds(mut mounts: Vec<&Mount>) -> Vec<&Mount> {
    if mounts.iter().any(|mount| mount.root == "/") {
        mounts.retain(|mount| mount.root == "/");
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn shared_mount_is_listed_once() {
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
        let found = mount_namespaces(
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
    fn hidden_mounts_and_swap_are_blind_spots() {
        let tree = Tree::new();
        for file in ["self/mountinfo", "swaps", "filesystems"] {
            fs::remove_file(tree.path(&format!("proc/{file}"))).unwrap();
        }
        let mut blind_spots = Vec::new();
        mount_namespaces(&tree.host(), &[], &mut blind_spots);
        swaps(&tree.host(), &mut blind_spots);
        let usages: Vec<&str> = blind_spots.iter().map(|spot| spot.usages).collect();

        assert_eq!(usages, ["mounted file systems", "swap devices"]);
    }
}
