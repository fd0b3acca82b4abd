//! The answer to what a device is used for. It fails closed: what could not be looked at counts.

use std::fmt;

use serde::Serialize;

use super::survey::{Severity, Usage};

/// What a device is used for, as far as that could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// The uses that were found.
    pub usages: Vec<Usage>,
    /// What could not be looked at: other uses may be there.
    pub blind_spots: Vec<BlindSpot>,
}

/// The short form of [`UsageReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All was looked at, and nothing found that taking the device would break.
    Free,
    /// The host needs the device.
    Used,
    /// Nothing was found, and not all could be looked at. To be treated as [`Verdict::Used`].
    Unknown,
}

/// A part of the host that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BlindSpot {
    /// The uses that stay hidden, in the plural: "processes that have it open".
    #[serde(rename = "uses")]
    pub usages: &'static str,
    /// The file, folder or socket that would show them.
    pub place: String,
    /// The reason, which is the kernel's answer where there is one.
    pub reason: String,
}

impl UsageReport {
    /// Returns whether the device may be taken.
    pub fn verdict(&self) -> Verdict {
        if self.blocking().next().is_some() {
            Verdict::Used
        } else if self.blind_spots.is_empty() {
            Verdict::Free
        } else {
            Verdict::Unknown
        }
    }

    /// Returns the uses that taking the device would break.
    pub fn blocking(&self) -> impl Iterator<Item = &Usage> {
        self.usages
            .iter()
            .filter(|usage| usage.severity() == Severity::Blocks)
    }
}

impl BlindSpot {
    /// Describes a file, folder or socket that could not be read.
    pub fn new(usages: &'static str, place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self {
            usages,
            place: place.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for BlindSpot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be seen ({}: {})",
            self.usages, self.place, self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkPurpose, NetworkUsage};

    fn blind_spot() -> BlindSpot {
        let denied = std::io::Error::from_raw_os_error(13);
        BlindSpot::new("processes that have it open", "/proc/1/fd", denied)
    }

    #[test]
    fn what_was_not_seen_is_unknown_not_free() {
        let mut usages = UsageReport::default();
        assert_eq!(usages.verdict(), Verdict::Free);
        let informs = NetworkUsage {
            netdev: "eth0".into(),
            interface: "eth0".into(),
            purpose: NetworkPurpose::OnlyLink,
            more: 0,
        };
        usages.usages.push(Usage::Network(informs));
        assert_eq!(usages.verdict(), Verdict::Free);
        usages.blind_spots.push(blind_spot());
        assert_eq!(usages.verdict(), Verdict::Unknown);
        usages.usages.push(Usage::Console);
        assert_eq!(usages.verdict(), Verdict::Used);
    }

    #[test]
    fn unseen_names_the_file_and_the_answer() {
        let expected = "processes that have it open cannot be seen (/proc/1/fd: Permission denied (os error 13))";
        assert_eq!(blind_spot().to_string(), expected);
    }
}
