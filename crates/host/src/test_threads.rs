//! Tests in a process that cannot make a thread. The guest crate includes this file too.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Variable that is set in the process that cannot make a thread.
const VARIABLE: &str = "PASSTHRU_TEST_CROWDED";
/// Address space that is left, in bytes: less than the stack of a thread.
const LEFT: u64 = 1 << 20;

/// Returns whether this process is the one in which the test has to do without threads. If not,
/// runs the test again in a process of its own and asserts that it succeeds there.
///
/// Call [`forbid_threads`] in the other process, before the code that must do without them.
pub(crate) fn is_without_threads(test: &str) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    // With one thread, tests run on the first one.
    again
        .args([test, "--exact", "--test-threads=1"])
        .env(VARIABLE, "1");
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{output:?}"
    );
    false
}

/// Limits this process's address space, so that it cannot make a thread any more.
pub(crate) fn forbid_threads() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let kib: u64 = size.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let limit = Rlimit {
        current: Some((kib << 10) + LEFT),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
}
