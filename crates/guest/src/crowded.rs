//! Tests in a process that can make no thread.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;

/// Set in the process that can make no thread.
const VARIABLE: &str = "PASSTHRU_TEST_CROWDED";
/// Address space that is left, in bytes: less than the stack of a thread.
const LEFT: u64 = 1 << 20;

/// Runs a test once more, in a process of its own, and asserts that it succeeds. There this returns
/// true, and no thread can be made any more.
pub(crate) fn has_no_room(test: &str) -> bool {
    if std::env::var_os(VARIABLE).is_none() {
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
        return false;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let kib: u64 = size.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let bytes = (kib << 10) + LEFT;
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(
        Resource::As,
        Rlimit {
            current: Some(bytes),
            maximum,
        },
    )
    .unwrap();
    true
}
