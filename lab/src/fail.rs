//! Failures that the kernel injects into operations (`CONFIG_FAULT_INJECTION`).

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::host::{VirtualHost, host};
use crate::resources::HeldResources;

/// Limit on the failures of one operation, above that of any real one.
const MAX_FAILURES: u32 = 2000;

/// A failure to inject: the n-th point at which the kernel can fail this thread's calls.
#[derive(Debug)]
pub struct Failure {
    nth: u32,
    file: File,
    injected: Cell<bool>,
}

/// Calls `attempt` with the first failure, the second, and so on, and returns the number of
/// failures.
///
/// `attempt` passes its operation to [`Failure::during`]. The series ends once an operation
/// completes before its failure is reached.
///
/// # Panics
/// - If the kernel cannot inject failures.
/// - If there is no end of failures.
#[expect(clippy::expect_used, reason = "for tests")]
pub fn each_failure(_host: VirtualHost, mut attempt: impl FnMut(&Failure)) -> u32 {
    configure().expect("debugfs has the settings of failures");
    for nth in 1..MAX_FAILURES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth");
        let file = file.expect("the kernel injects failures");
        let failure = Failure {
            nth,
            file,
            injected: Cell::new(false),
        };
        attempt(&failure);
        if !failure.injected.get() {
            return nth - 1;
        }
    }

    unreachable!("{MAX_FAILURES} failures, and no end of them");
}

/// Calls `attempt` with each failure, and checks that nothing is left behind.
///
/// `attempt` returns whether the operation failed.
///
/// # Panics
/// - If resources are left ([`HeldResources`]).
/// - If no attempt failed.
/// - If this is not the virtual host.
#[track_caller]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn each_failure_leaves_nothing(mut attempt: impl FnMut(&Failure) -> bool) {
    let mut failed = 0;
    let injected = each_failure(host(), |failure| {
        let before = HeldResources::read().expect("/proc can be read");
        failed += u32::from(attempt(failure));
        let after = HeldResources::read().expect("/proc can be read");
        assert_eq!(after, before, "{failure:?}");
    });
    assert!(injected > 0 && failed > 0, "{failed} of {injected}");
}

/// Makes allocations that may wait fail too, which most are, and keeps failures out of the kernel's
/// log.
fn configure() -> io::Result<()> {
    let debug = Path::new("/sys/kernel/debug");
    for setting in [
        "failslab/ignore-gfp-wait",
        "fail_page_alloc/ignore-gfp-wait",
    ] {
        fs::write(debug.join(setting), "0")?;
    }

    for entry in fs::read_dir(debug)? {
        let verbose = entry?.path().join("verbose");
        if verbose.exists() && verbose.to_string_lossy().contains("/fail") {
            fs::write(verbose, "0")?;
        }
    }

    Ok(())
}

impl Failure {
    /// Runs an operation of this thread with the failure.
    ///
    /// # Panics
    /// If the kernel does not accept the failure.
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn during<T>(&self, operation: impl FnOnce() -> T) -> T {
        let number = self.nth.to_string();
        self.file
            .write_all_at(number.as_bytes(), 0)
            .expect("the kernel takes a failure");
        let result = operation();
        self.injected.set(self.end());
        result
    }

    /// Cancels the failure, and returns whether it occurred.
    ///
    /// If reading or writing the setting fails, the failure hit that call and not the operation.
    fn end(&self) -> bool {
        let mut left = [0; 16];
        let read = self.file.read_at(&mut left, 0);
        // The failure may hit the first write; it cannot hit a second one.
        let written = self
            .file
            .write_at(b"0", 0)
            .or_else(|_| self.file.write_at(b"0", 0));
        let has_occurred = read.is_ok_and(|length| left.get(..length) == Some(b"0\n"));
        has_occurred && written.is_ok()
    }
}
