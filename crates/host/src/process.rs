//! The identity of processes that may have ended. A number alone does not identify a process, since
//! numbers are reused.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Host, sysfs};

/// The identity of a process, which stays valid after its end and after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Number of the process.
    pub pid: u32,
    /// Start time in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// Boot in which the process was started.
    pub boot_id: String,
    /// PID namespace of the number: the link target of `/proc/self/ns/pid`.
    pub pid_namespace: String,
}

/// Fields of `/proc/PID/stat`.
struct ProcessStat {
    state: char,
    start_time: u64,
}

impl Host {
    /// Reads the identity of a running process. Returns `None` if `/proc` does not show the
    /// process.
    pub fn process(&self, pid: u32) -> Option<ProcessId> {
        let stat = self.stat(pid).ok()?;
        Some(ProcessId {
            pid,
            start_time: stat.start_time,
            boot_id: self.boot_id(),
            pid_namespace: self.pid_namespace(),
        })
    }

    /// Returns whether a process was started in this boot. Returns true if the boots cannot be
    /// compared.
    pub fn is_this_boot(&self, process: &ProcessId) -> bool {
        let boot_id = self.boot_id();
        boot_id.is_empty() || process.boot_id.is_empty() || boot_id == process.boot_id
    }

    /// Returns whether a process may still run.
    ///
    /// A process that cannot be inspected counts as running: without `/proc`, or from another PID
    /// namespace.
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

    /// Lists the processes of a user, by any of a process's four user ids.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn processes_of(&self, uid: u32) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(self.path("proc"))? {
            let entry = entry?;
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && uids(&entry.path()).contains(&uid)
            {
                pids.push(pid);
            }
        }

        pids.sort_unstable();
        Ok(pids)
    }

    /// Returns whether a process has ended and only its entry in `/proc` is left.
    ///
    /// If the main thread ends before the others, the process still runs, although its state is
    /// that of a dead process.
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

/// Parses `/proc/PID/stat`. The name of the process is in parentheses and may have any character,
/// so the fields are counted from the last parenthesis.
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
    let mut lines = status.lines();
    let uids = lines.find_map(|line| line.strip_prefix("Uid:"));
    let uids = uids.unwrap_or_default().split_ascii_whitespace();
    uids.filter_map(|uid| uid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.proc();
        tree.process(42, 'S', 7700);
        tree
    }

    #[test]
    fn running_process_may_live() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        assert_eq!(process.start_time, 7700);
        assert_eq!(process.boot_id, "this-boot");
        assert!(tree.host().may_live(&process));
        assert_eq!(tree.host().process(43), None);
    }

    #[test]
    fn reused_number_or_other_boot_is_another_process() {
        let tree = tree();
        let process = tree.host().process(42).unwrap();
        tree.process(42, 'S', 7701);
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
        tree.process(42, 'Z', 7700);
        assert!(!tree.host().may_live(&process));

        tree.dir("proc/42/task/99");
        assert!(tree.host().may_live(&process));
    }

    #[test]
    fn process_that_cannot_be_inspected_may_live() {
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
