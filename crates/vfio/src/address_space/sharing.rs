//! [`Sharing`]: the choice to share the pins of another container (`IOMMU_IOAS_COPY`).

use std::fmt;
use std::fs;

use super::Pages;

/// Bit of `CAP_IPC_LOCK` in a set of capabilities. The kernel charges no pins to such a process.
const CAP_IPC_LOCK: u32 = 14;

/// Policy of sharing pins with a container that has the same memory on the same iommufd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Shares if sharing is faster than pinning, or if `RLIMIT_MEMLOCK` allows no second pin.
    Auto,
    /// Always shares if another container has the memory.
    Always,
    /// Never shares. All memory is pinned, and charged, for each container.
    #[default]
    Never,
}

/// The reason to share pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharingReason {
    /// [`Sharing::Always`] was set.
    Requested,
    /// The memory has base pages, which are copied faster than pinned. (Huge pages are pinned
    /// faster.)
    BasePages,
    /// `RLIMIT_MEMLOCK` allows no second pin.
    Memlock {
        /// Number of bytes to pin.
        needed: u64,
        /// Number of bytes that the limit leaves.
        left: u64,
    },
    /// The kernel refused a second pin (`ENOMEM`).
    Refused,
}

impl Sharing {
    /// Returns the reason to share pins of such pages at once, if there is one.
    ///
    /// `left` returns the number of bytes that may still be pinned, or `None` without a limit. The
    /// function is called only if the answer matters.
    pub(super) fn choose(
        self,
        pages: Pages,
        needed: u64,
        left: impl FnOnce() -> Option<u64>,
    ) -> Option<SharingReason> {
        match (self, pages) {
            (Self::Never, _) => None,
            (Self::Always, _) => Some(SharingReason::Requested),
            (Self::Auto, Pages::Base) => Some(SharingReason::BasePages),
            (Self::Auto, _) => {
                let left = left()?;
                (left < needed).then_some(SharingReason::Memlock { needed, left })
            }
        }
    }
}

/// Returns the number of bytes that this process may still pin, by its own `RLIMIT_MEMLOCK`.
///
/// Returns `None` if there is no limit, or if the limit is unknown. Pins of other processes of the
/// same user are not counted: if those exceed the limit, the kernel refuses the pin (`ENOMEM`).
pub(super) fn memlock_left() -> Option<u64> {
    let limits = fs::read_to_string("/proc/thread-self/limits").ok()?;
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    bytes_left(soft_limit(&limits)?, &status)
}

/// Returns the soft limit in bytes from the text of `/proc/PID/limits`; `None` if unlimited.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the bytes that `limit` leaves, given the text of `/proc/PID/status`.
fn bytes_left(limit: u64, status: &str) -> Option<u64> {
    let capabilities = status_field(status, "CapEff:")
        .and_then(|set| u64::from_str_radix(set, 16).ok())
        .unwrap_or_default();
    if capabilities >> CAP_IPC_LOCK & 1 != 0 {
        return None;
    }
    // Both fields count what is pinned and charged to the process. VmLck also counts mlocked
    // memory; VmPin also counts what is charged to the user.
    let locked = status_kib(status, "VmLck:");
    let pinned = status_kib(status, "VmPin:");
    let used = locked.max(pinned).unwrap_or_default() << 10;
    Some(limit.saturating_sub(used))
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let text = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(text.trim())
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let number = status_field(status, name)?.strip_suffix(" kB")?;
    number.trim().parse().ok()
}

impl fmt::Display for SharingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("as requested"),
            Self::BasePages => f.write_str("base pages are copied faster than pinned"),
            Self::Memlock { needed, left } => {
                write!(
                    f,
                    "{needed} bytes would be pinned again, and RLIMIT_MEMLOCK leaves {left}"
                )
            }
            Self::Refused => f.write_str("the kernel refused to pin the memory again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(pages: Pages, left: Option<u64>) -> Option<SharingReason> {
        Sharing::Auto.choose(pages, 100, || left)
    }

    #[test]
    fn sharing_depends_on_page_size_and_memlock() {
        assert_eq!(
            Sharing::Auto.choose(Pages::Base, 100, || panic!("the limit is read")),
            Some(SharingReason::BasePages)
        );
        assert_eq!(auto(Pages::Transparent, Some(100)), None);
        assert_eq!(auto(Pages::Huge(2 << 20), None), None);

        let reason = Some(SharingReason::Memlock {
            needed: 100,
            left: 99,
        });
        assert_eq!(auto(Pages::Transparent, Some(99)), reason);
        assert_eq!(Sharing::Never.choose(Pages::Base, 100, || Some(0)), None);
        assert_eq!(
            Sharing::Always.choose(Pages::Transparent, 100, || None),
            Some(SharingReason::Requested)
        );
    }

    #[test]
    fn soft_memlock_limit_is_read() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\n\
            Max locked memory         8388608    unlimited    bytes\n";
        assert_eq!(soft_limit(limits), Some(8 << 20));
        assert_eq!(soft_limit(&limits.replace("8388608", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert!(
            fs::read_to_string("/proc/thread-self/limits")
                .unwrap()
                .contains("\nMax locked memory ")
        );
    }

    #[test]
    fn memlock_counts_pins_except_with_cap_ipc_lock() {
        let status =
            "Name:\tx\nVmLck:\t     4 kB\nVmPin:\t     512 kB\nCapEff:\t0000000000000000\n";
        assert_eq!(bytes_left(1 << 20, status), Some(512 << 10));
        assert_eq!(bytes_left(1 << 10, status), Some(0));

        let root = status.replace("CapEff:\t0000000000000000", "CapEff:\t000001ffffffffff");
        assert_eq!(bytes_left(1 << 20, &root), None);
        assert_eq!(bytes_left(4096, ""), Some(4096));
    }
}
