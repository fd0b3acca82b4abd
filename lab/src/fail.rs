//! Failures that the kernel injects (`CONFIG_FAULT_INJECTION`): an operation meets each of them in
//! turn, and [`Held`] shows what it leaves behind.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{VirtualHost, host};

/// More than any operation has places to fail at.
const MOST: u32 = 2000;

/// A failure to inject: the n-th chance that the kernel has to let this thread fail.
#[derive(Debug)]
pub struct Failure {
    nth: u32,
    file: File,
    injected: Cell<bool>,
}

/// Calls `attempt` with the first failure, the second, and so on, until the operation that it hands
/// to [`Failure::during`] comes to its end before the failure. Returns how many failures there
/// were.
///
/// # Panics
/// Where the kernel has no such failures, or their number has no end.
#[expect(clippy::expect_used, reason = "for tests")]
pub fn each_failure(_host: VirtualHost, mut attempt: impl FnMut(&Failure)) -> u32 {
    configure().expect("debugfs has the settings of failures");
    for nth in 1..MOST {
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
    unreachable!("{MOST} failures, and no end of them");
}

/// Calls `attempt` with each failure, as [`each_failure`] does. It says whether the operation
/// failed, and nothing may be left of it either way.
///
/// # Panics
/// Where something is left ([`Held`]), where no attempt has failed, or anywhere but on the virtual
/// host.
#[track_caller]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn each_failure_leaves_nothing(mut attempt: impl FnMut(&Failure) -> bool) {
    let mut failed = 0;
    let injected = each_failure(host(), |failure| {
        let before = Held::now().expect("/proc can be read");
        failed += u32::from(attempt(failure));
        assert_eq!(
            Held::now().expect("/proc can be read"),
            before,
            "{failure:?}"
        );
    });
    assert!(injected > 0 && failed > 0, "{failed} of {injected}");
}

/// Has allocations fail that may wait, which are most, and the kernel's log kept free of them.
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
    /// Runs an operation, of this thread alone, with the failure.
    ///
    /// # Panics
    /// Where the kernel does not take the failure.
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

    /// Ends it, and returns whether it came. Reading and writing are chances to fail as well: it
    /// has not come then.
    fn end(&self) -> bool {
        let mut left = [0; 16];
        let read = self.file.read_at(&mut left, 0);
        // The second time there is nothing left to fail.
        let written = self
            .file
            .write_at(b"0", 0)
            .or_else(|_| self.file.write_at(b"0", 0));
        let came = read.is_ok_and(|length| left.get(..length) == Some(b"0\n"));
        came && written.is_ok()
    }
}

/// What the process has of the kernel's.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// How many descriptors are open.
    pub descriptors: usize,
    /// The memory that is pinned and locked, as `/proc/self/status` has it.
    pub memory: Vec<String>,
}

impl Held {
    /// Returns what it has now.
    ///
    /// # Errors
    /// Where /proc cannot be read.
    pub fn now() -> io::Result<Self> {
        let memory = fs::read_to_string("/proc/self/status")?;
        let memory = memory
            .lines()
            .filter(|line| line.starts_with("VmPin:") || line.starts_with("VmLck:"));
        let memory: Vec<_> = memory.map(str::to_owned).collect();
        if memory.len() != 2 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "no VmPin and VmLck in /proc/self/status",
            ));
        }
        Ok(Self {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            memory,
        })
    }
}
