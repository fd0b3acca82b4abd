//! The limit on locked memory of a running VMM.

use std::io;

use rustix::process::{Pid, Resource, Rlimit};

use super::error::HotplugError;

/// Returns the limit of a process in bytes; `None` if it has none.
///
/// # Errors
/// If the kernel refuses, then [`HotplugError::Memlock`].
pub(crate) fn memlock_limit(pid: u32) -> Result<Option<u64>, HotplugError> {
    let read = read_limit(pid);
    read.map_err(|source| HotplugError::Memlock { bytes: 0, source })
}

fn read_limit(pid: u32) -> io::Result<Option<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(io::Error::other),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sets the limit of a process.
///
/// # Errors
/// If the kernel refuses, then [`HotplugError::Memlock`].
pub(super) fn set_memlock_limit(pid: u32, bytes: u64) -> Result<(), HotplugError> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let set = process(pid).and_then(|pid| {
        rustix::process::prlimit(Some(pid), Resource::Memlock, limit).map_err(io::Error::from)
    });
    match set {
        Ok(_) => Ok(()),
        Err(source) => Err(HotplugError::Memlock { bytes, source }),
    }
}

/// Lowers the limit of a process, but never below the memory that it has pinned. After a reset of
/// the guest, QEMU pins that memory again, and ends if it cannot.
///
/// # Errors
/// If the kernel refuses, then [`HotplugError::Memlock`].
pub(super) fn lower_memlock_limit(pid: u32, bytes: u64) -> Result<(), HotplugError> {
    let pinned = pinned_bytes(pid).ok_or_else(|| HotplugError::Memlock {
        bytes,
        source: io::ErrorKind::NotFound.into(),
    })?;
    set_memlock_limit(pid, bytes.max(pinned))
}

/// Returns the bytes that a process has pinned or locked; `None` if they cannot be read.
pub(super) fn pinned_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut most = None;
    for line in status.lines() {
        let value = line
            .strip_prefix("VmPin:")
            .or_else(|| line.strip_prefix("VmLck:"));
        let kib = value.and_then(|value| value.split_whitespace().next());
        let bytes = kib.and_then(|kib| kib.parse::<u64>().ok()?.checked_mul(1024));
        most = most.max(bytes);
    }

    most
}

fn process(pid: u32) -> io::Result<Pid> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_of_this_process_is_read() {
        let pid = std::process::id();
        let expected = rustix::process::getrlimit(Resource::Memlock).current;
        assert_eq!(memlock_limit(pid).unwrap(), expected);
        assert!(pinned_bytes(pid).is_some());
        assert_eq!(pinned_bytes(0), None);
    }
}
