//! Tests in a process that cannot create threads. The guest crate includes this file too.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Environment variable that is set in that process.
const VARIABLE: &str = "PASSTHRU_TEST_CROWDED";
/// Remaining address space in bytes, which is less than the stack of a thread.
const LEFT: u64 = 1 << 20;

/// Returns whether this process is the one that must do without threads. If it is not, this
/// function runs the test again in a new process, and asserts that the test succeeds there.
///
/// In the new process, call [`forbid_threads`] before the tested code.
pub(crate) fn is_without_threads(test: &str) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    // With one test thread, the test runs on the main thread.
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

/// Limits this process's address space, so that no further thread can be created.
pub(crate) fn forbid_threads() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let limit = Rlimit {
        current: Some((kib << 10) + LEFT),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
}
