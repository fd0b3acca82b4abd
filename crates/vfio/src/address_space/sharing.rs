//! [`Sharing`]: whether memory that is pinned for one container is pinned for another one again, or its pins are
//! shared (`IOMMU_IOAS_COPY`).

use super::Pages;
use std::fmt;
use std::fs;

/// When pins are shared with a container that has the same memory on the same iommufd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Where it is faster, and where the limit on locked memory allows no second pin.
    Auto,
    /// Wherever it can be.
    Always,
    /// Never: all memory is pinned, and charged, for each container.
    #[default]
    Never,
}

/// Why pins were shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// [`Sharing::Always`].
    Asked,
    /// The memory is of base pages, which are copied faster than they are pinned. (Huge pages are
    /// pinned faster.)
    BasePages,
    /// The limit allows no second pin: so many bytes are needed, and so many are left of
    /// `RLIMIT_MEMLOCK`.
    Memlock {
        /// Bytes that would be pinned.
        needed: u64,
        /// Bytes that can be.
        left: u64,
    },
    /// The kernel refused a second pin (`ENOMEM`).
    Refused,
}

impl Sharing {
    /// Says why pins of such pages are shared at once, if they are. `left` finds out what can be
    /// pinned still, if that is limited; it is asked only where it matters.
    pub(super) fn choose(
        self,
        pages: Pages,
        needed: u64,
        left: impl FnOnce() -> Option<u64>,
    ) -> Option<Why> {
        match (self, pages) {
            (Self::Never, _) => None,
            (Self::Always, _) => Some(Why::Asked),
            (Self::Auto, Pages::Base) => Some(Why::BasePages),
            (Self::Auto, _) => left()
                .filter(|left| *left < needed)
                .map(|left| Why::Memlock { needed, left }),
        }
    }
}

/// Returns how many bytes this thread can have pinned still, where its accounting is by process
/// (`RLIMIT_MODE` 1); `None` where that is not limited, or not known. What other processes of the
/// user pinned is not seen here: there the kernel's refusal tells.
pub(super) fn memlock_left() -> Option<u64> {
    let limits = fs::read_to_string("/proc/thread-self/limits").ok()?;
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    left(limit(&limits)?, &status)
}

/// The limit that is in effect, in bytes, if there is one.
fn limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `CAP_IPC_LOCK`, with which nothing is charged.
const IPC_LOCK: u32 = 14;

fn left(limit: u64, status: &str) -> Option<u64> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let effective = field("CapEff:")
        .and_then(|set| u64::from_str_radix(set, 16).ok())
        .unwrap_or_default();
    if effective >> IPC_LOCK & 1 != 0 {
        return None;
    }
    let kib =
        |name| field(name).and_then(|text| text.strip_suffix(" kB")?.trim().parse::<u64>().ok());
    // Both have what is pinned and charged to the process; the first has what is locked besides,
    // the second also what is charged to the user.
    let pinned = kib("VmLck:").max(kib("VmPin:")).unwrap_or_default() << 10;
    Some(limit.saturating_sub(pinned))
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("it was asked for"),
            Self::BasePages => f.write_str("pages of the base size are copied faster than pinned"),
            Self::Memlock { needed, left } => {
                write!(
                    f,
                    "{needed} bytes would be pinned again, and RLIMIT_MEMLOCK leaves {left}"
                )
            }
            Self::Refused => f.write_str("the kernel refused to pin it again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_depends_on_page_size_and_memlock() {
        let choose = |pages, left| Sharing::Auto.choose(pages, 100, || left);
        assert_eq!(
            Sharing::Auto.choose(Pages::Base, 100, || panic!("it is asked")),
            Some(Why::BasePages)
        );
        assert_eq!(choose(Pages::Transparent, Some(100)), None);
        assert_eq!(choose(Pages::Huge(2 << 20), None), None);
        let why = Some(Why::Memlock {
            needed: 100,
            left: 99,
        });
        assert_eq!(choose(Pages::Transparent, Some(99)), why);
        assert_eq!(Sharing::Never.choose(Pages::Base, 100, || Some(0)), None);
        assert_eq!(
            Sharing::Always.choose(Pages::Transparent, 100, || None),
            Some(Why::Asked)
        );
    }

    #[test]
    fn soft_memlock_limit_is_read() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax locked memory         8388608    unlimited    bytes\n";
        assert_eq!(limit(limits), Some(8 << 20));
        assert_eq!(limit(&limits.replace("8388608", "unlimited")), None);
        assert_eq!(limit(""), None);
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
        assert_eq!(left(1 << 20, status), Some(512 << 10));
        assert_eq!(left(1 << 10, status), Some(0));
        let root = status.replace("CapEff:\t0000000000000000", "CapEff:\t000001ffffffffff");
        assert_eq!(left(1 << 20, &root), None);
        assert_eq!(left(4096, ""), Some(4096));
    }
}
