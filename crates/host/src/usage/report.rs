//! The answer to what a device is used for. It fails closed: what could not be looked at counts.

use std::fmt;

use serde::Serialize;

use super::survey::{Severity, Use};

/// What a device is used for, as far as that could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The uses that were found.
    pub known: Vec<Use>,
    /// What could not be looked at: other uses may be there.
    pub unseen: Vec<Unseen>,
}

/// The short form of [`Uses`].
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
pub struct Unseen {
    /// The uses that stay hidden, in the plural: "processes that have it open".
    pub uses: &'static str,
    /// The file, folder or socket that would show them.
    pub place: String,
    /// The reason, which is the kernel's answer where there is one.
    pub reason: String,
}

impl Uses {
    /// Returns whether the device may be taken.
    pub fn verdict(&self) -> Verdict {
        if self.blocking().next().is_some() {
            Verdict::Used
        } else if self.unseen.is_empty() {
            Verdict::Free
        } else {
            Verdict::Unknown
        }
    }

    /// Returns the uses that taking the device would break.
    pub fn blocking(&self) -> impl Iterator<Item = &Use> {
        self.known
            .iter()
            .filter(|used| used.severity() == Severity::Blocks)
    }
}

impl Unseen {
    /// Describes a file, folder or socket that could not be read.
    pub fn new(uses: &'static str, place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self {
            uses,
            place: place.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be seen ({}: {})",
            self.uses, self.place, self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkPurpose, NetworkUse};

    fn unseen() -> Unseen {
        let denied = std::io::Error::from_raw_os_error(13);
        Unseen::new("processes that have it open", "/proc/1/fd", denied)
    }

    #[test]
    fn what_was_not_seen_is_unknown_not_free() {
        let mut uses = Uses::default();
        assert_eq!(uses.verdict(), Verdict::Free);
        let informs = NetworkUse {
            netdev: "eth0".into(),
            interface: "eth0".into(),
            purpose: NetworkPurpose::OnlyLink,
            more: 0,
        };
        uses.known.push(Use::Network(informs));
        assert_eq!(uses.verdict(), Verdict::Free);
        uses.unseen.push(unseen());
        assert_eq!(uses.verdict(), Verdict::Unknown);
        uses.known.push(Use::Console);
        assert_eq!(uses.verdict(), Verdict::Used);
    }

    #[test]
    fn unseen_names_the_file_and_the_answer() {
        let expected = "processes that have it open cannot be seen (/proc/1/fd: Permission denied (os error 13))";
        assert_eq!(unseen().to_string(), expected);
    }
}
