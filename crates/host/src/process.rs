//! Processes that may have ended: a number alone does not name one, since numbers are used again.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Host, sysfs};

/// Identity of a process: valid after it has ended, and after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// DeviceNumber of the process.
    pub pid: u32,
    /// Start time in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// The boot that the process was started in.
    pub boot_id: String,
    /// PID namespace that the number belongs to, as `/proc/self/ns/pid` names it.
    pub pid_namespace: String,
}

/// The parts of `/proc/PID/stat` that are of use here.
struct ProcessStat {
    state: char,
    start_time: u64,
}

impl Host {
    /// Reads the identity of a process that runs now. Returns `None` if there is no such process,
    /// or if `/proc` does not show it.
    pub fn process(&self, pid: u32) -> Option<ProcessId> {
        let stat = self.stat(pid).ok()?;
        Some(ProcessId {
            pid,
            start_time: stat.start_time,
            boot_id: self.boot_id(),
            pid_namespace: self.pid_namespace(),
        })
    }

    /// Returns whether a process was started in this boot. If the boots cannot be compared, it was.
    pub fn is_this_boot(&self, process: &ProcessId) -> bool {
        let boot_id = self.boot_id();
        boot_id.is_empty() || process.boot_id.is_empty() || boot_id == process.boot_id
    }

    /// Returns whether a process may still run. A process that cannot be looked at counts as alive:
    /// without `/proc`, or from another PID namespace.
    pub fn may_live(&self, process: &ProcessId) -> bool {
        if !self.is_this_boot(process) {
            return false;
        }
        if !self.path("proc/self/stat").exists() || self.pid_namespace() != process.pid_namespace {
            return true;
        }
        match self.stat(process.pid) {
            Ok(stat) => stat.start_time == process.start_time && !self.is_dead(process.pid, &stat),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Lists the processes that run as a user, by any of their four user ids.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn processes_of(&self, uid: u32) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(self.path("proc"))? {
            let entry = entry?;
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if uids(&entry.path()).contains(&uid) {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// Returns whether nothing of a process is left but its entry. The main thread can end before
    /// the others: the process lives on then, although its state says that it is dead.
    fn is_dead(&self, pid: u32, stat: &ProcessStat) -> bool {
        let tasks = sysfs::names(self.path(&format!("proc/{pid}/task")));
        matches!(stat.state, 'Z' | 'X') && tasks.len() <= 1
    }

    fn stat(&self, pid: u32) -> io::Result<ProcessStat> {
        let text = std::fs::read(self.path(&format!("proc/{pid}/stat")))?;
        parse_stat(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn pid_namespace(&self) -> String {
        sysfs::link_name(self.path("proc/self/ns/pid")).unwrap_or_default()
    }
}

/// Reads a line of `/proc/PID/stat`. The name of the process stands in parentheses and may hold any
/// character, so the fields are counted from the last parenthesis.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, so field 22 is the 19th after it.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(ProcessStat { state, start_time })
}

fn uids(process: &Path) -> Vec<u32> {
    let status = sysfs::read(process.join("status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    line.split_ascii_whitespace()
        .filter_map(|uid| uid.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
        tree.link("proc/self/ns/pid", "pid:[4026531836]");
        tree.file("proc/self/stat", "");
        stat(&tree, 'S', 7700);
        tree
    }

    /// Adds process 42, whose name is made to look like the rest of the line.
    fn stat(tree: &Tree, state: char, start_time: u64) {
        let zeros = "0 ".repeat(18);
        tree.file(
            "proc/42/stat",
            format!("42 (a) Z 1 (b) {state} {zeros}{start_time} 0 0\n"),
        );
        tree.dir("proc/42/task/42");
    }

    #[test]
    fn running_process_may_live() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        assert_eq!(
            (process.start_time, process.boot_id.as_str()),
            (7700, "this-boot")
        );
        assert!(tree.host().may_live(&process));
        assert_eq!(tree.host().process(43), None);
    }

    #[test]
    fn reused_number_or_other_boot_is_not_the_process() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        stat(&tree, 'S', 7701);
        assert!(!tree.host().may_live(&process));
        let rebooted = ProcessId {
            boot_id: "earlier-boot".into(),
            ..process.clone()
        };
        assert!(!tree.host().may_live(&rebooted));
        assert!(!tree.host().may_live(&ProcessId { pid: 43, ..process }));
    }

    #[test]
    fn dead_main_thread_with_others_may_live() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        stat(&tree, 'Z', 7700);
        assert!(!tree.host().may_live(&process));
        tree.dir("proc/42/task/99");
        assert!(tree.host().may_live(&process));
    }

    #[test]
    fn process_that_cannot_be_looked_at_may_live() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        let elsewhere = ProcessId {
            pid_namespace: "pid:[1]".into(),
            pid: 43,
            ..process.clone()
        };
        assert!(tree.host().may_live(&elsewhere));
        tree.file("proc/42/stat", "nonsense");
        assert!(tree.host().may_live(&process));
        std::fs::remove_dir_all(tree.path("proc/self")).unwrap();
        std::fs::remove_dir_all(tree.path("proc/42")).unwrap();
        assert!(tree.host().may_live(&process));
    }

    #[test]
    fn processes_of_a_user_are_found_by_any_of_its_ids() {
        let tree = tree();
        tree.file("proc/42/status", "Name:\tx\nUid:\t0\t0\t2100000007\t0\n");
        tree.file("proc/43/status", "Name:\tx\nUid:\t1\t1\t1\t1\n");
        assert_eq!(tree.host().processes_of(2_100_000_007).unwrap(), [42]);
        assert!(tree.host().processes_of(5).unwrap().is_empty());
    }

    #[test]
    fn this_process_is_found_on_the_real_proc() {
        let host = Host::new();
        let own = host.process(std::process::id()).unwrap();
        assert!(own.start_time > 0 && host.may_live(&own));
    }
}
