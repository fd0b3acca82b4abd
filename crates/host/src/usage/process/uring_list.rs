//! The list of registered files (`UserFiles`) in the `fdinfo` of an io_uring.

use std::collections::BTreeSet;

use crate::usage::escape::unescape;
use crate::{Host, sysfs};

/// The files that are registered with an io_uring.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UringList {
    pub(super) paths: BTreeSet<String>,
    /// Names that may be those of device nodes. Empty if the kernel prints paths.
    pub(super) names: BTreeSet<String>,
}

impl UringList {
    /// Parses the list: a line `UserFiles: COUNT`, then a line `INDEX: FILE` for each file.
    ///
    /// Returns `None` if the ring was busy, so that the kernel left the entries out. If
    /// `omits_busy_list` is set, the kernel leaves out the whole list instead.
    pub(super) fn parse(text: &str, omits_busy_list: bool) -> Option<Self> {
        let mut lines = text
            .lines()
            .skip_while(|line| !line.starts_with("UserFiles:"));
        let count = lines.next()?.trim_start_matches("UserFiles:").trim();
        let files: Vec<String> = lines.map_while(parse_entry).collect();
        let is_complete = omits_busy_list || count == "0" || !files.is_empty();
        is_complete.then(|| Self::from_files(files))
    }

    fn from_files(files: Vec<String>) -> Self {
        let (paths, mut names): (BTreeSet<_>, BTreeSet<_>) =
            files.into_iter().partition(|file| file.starts_with('/'));
        names.retain(|name| paths.is_empty() && may_be_node(name));
        Self { paths, names }
    }
}

fn parse_entry(line: &str) -> Option<String> {
    let (index, file) = line.trim_start().split_once(": ")?;
    index.parse::<u32>().ok()?;
    Some(unescape(file))
}

/// Returns whether a node can have a name. Sockets and files of the kernel have names that no node
/// has: `socket:[12]`, `anon_inode:kvm-vm`, `<none>`.
fn may_be_node(name: &str) -> bool {
    !name.is_empty() && !name.contains(['[', ':', '<'])
}

/// Returns whether the kernel leaves out the whole list of a busy ring: since Linux 6.15. Older
/// kernels leave out the entries.
pub(super) fn omits_busy_list(host: &Host) -> bool {
    let release = sysfs::read(host.path("proc/sys/kernel/osrelease")).unwrap_or_default();
    let mut parts = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next()) >= (Some(6), Some(15))
}
