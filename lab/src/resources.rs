//! [`HeldResources`]: kernel resources that this process holds.

use std::fs;
use std::io::{self, ErrorKind};

/// Kernel resources that this process holds. Compare two to find a leak.
#[derive(Debug, PartialEq, Eq)]
pub struct HeldResources {
    /// Number of open descriptors.
    pub descriptors: usize,
    /// Pinned and locked memory: the lines `VmPin` and `VmLck` of `/proc/self/status`.
    pub memory: Vec<String>,
}

impl HeldResources {
    /// Reads the resources that this process holds now.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn read() -> io::Result<Self> {
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
