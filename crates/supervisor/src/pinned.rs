//! Memory that a process has pinned or locked.

use std::fs::File;
use std::io::{self, ErrorKind};

use passthru_host::read_bounded;

/// Size limit of `/proc/PID/status`.
const MAX_BYTES: u64 = 1 << 20;

/// Memory that a process has pinned or locked, in bytes.
///
/// The kernel counts pages that a device reaches as pinned, as locked, or as both. That depends on
/// the backend: iommufd counts both with `IOMMU_OPTION_RLIMIT_MODE`, and type1 counts them as
/// locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinnedMemory {
    /// Pinned memory (`VmPin`).
    pub pinned: u64,
    /// Locked memory (`VmLck`).
    pub locked: u64,
}

impl PinnedMemory {
    /// Reads the memory of a process from `/proc/PID/status`. A process that has ended and is not
    /// waited for has none.
    ///
    /// The number of a process can be reused, so the caller must know that the process lives.
    ///
    /// # Errors
    /// - If no process has the number, then `NotFound`.
    /// - If the file is not understood, then `InvalidData`.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/status"))?;
        let text = read_bounded(file, MAX_BYTES)?;
        Self::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Returns the larger of the two: the memory that the process holds in RAM.
    pub fn bytes(&self) -> u64 {
        self.pinned.max(self.locked)
    }

    fn parse(status: &str) -> Option<Self> {
        let mut memory = Self::default();
        for line in status.lines() {
            if let Some(size) = line.strip_prefix("VmPin:") {
                memory.pinned = parse_size(size)?;
            }
            if let Some(size) = line.strip_prefix("VmLck:") {
                memory.locked = parse_size(size)?;
            }
        }

        Some(memory)
    }
}

/// Parses a size such as `     4096 kB`, in bytes.
fn parse_size(text: &str) -> Option<u64> {
    let kib: u64 = text.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_bytes() {
        let status =
            "Name:\tVmPin: 9 kB\nVmSize:\t  999 kB\nVmLck:\t    16 kB\nVmPin:\t 4194304 kB\n";
        let memory = PinnedMemory::parse(status).unwrap();

        assert_eq!(memory.locked, 16 << 10);
        assert_eq!(memory.pinned, 4 << 30);
        assert_eq!(memory.bytes(), 4 << 30);
    }

    #[test]
    fn dead_process_has_no_memory() {
        let status = "Name:\tqemu\nState:\tZ (zombie)\nThreads:\t1\n";
        assert_eq!(PinnedMemory::parse(status).unwrap().bytes(), 0);
    }

    #[test]
    fn size_that_is_not_a_size_is_refused() {
        for line in [
            "VmPin:\tmuch",
            "VmLck:\t4 MB",
            "VmPin:\t99999999999999999999 kB",
        ] {
            assert_eq!(PinnedMemory::parse(line), None, "{line}");
        }
    }

    #[test]
    fn locked_pages_of_a_process_are_counted() {
        let before = PinnedMemory::of_process(std::process::id()).unwrap();
        let memory = vec![1_u8; 8 << 20];
        // Fails, and locks nothing, if this user may not lock as much.
        let is_locked = rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT).is_ok();
        let after = PinnedMemory::of_process(std::process::id()).unwrap();
        rustix::mm::munlockall().unwrap();

        assert!(memory.iter().all(|byte| *byte == 1));

        if is_locked {
            assert!(after.bytes() >= before.bytes() + (8 << 20), "{after:?}");
        }
    }

    #[test]
    fn missing_process_is_not_found() {
        let error = PinnedMemory::of_process(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
