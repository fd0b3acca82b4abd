//! Parts of the host that could not be inspected.

use std::fmt;

use serde::Serialize;

/// Usages that are hidden while the outer path of a tunnel is unknown.
const TUNNELS: &str = "interfaces that carry tunnels";

/// A part of the host that could not be inspected, so that usages may be hidden there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BlindSpot {
    /// Kind of the hidden usages, in the plural: "processes that have it open".
    #[serde(rename = "uses")]
    pub usages: &'static str,
    /// File, folder or socket that would show the usages.
    pub place: String,
    /// Reason, such as the error of a system call.
    pub reason: String,
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

    /// Describes tunnels whose outer packets take an unknown path.
    pub fn tunnel(names: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::new(TUNNELS, names, reason)
    }

    /// Returns whether this blind spot is a tunnel, as [`tunnel`](Self::tunnel) makes it.
    pub fn is_tunnel(&self) -> bool {
        self.usages == TUNNELS
    }
}

impl fmt::Display for BlindSpot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            usages,
            place,
            reason,
        } = self;
        write!(f, "{usages} cannot be seen ({place}: {reason})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blind_spot_names_the_file_and_the_error() {
        let denied = std::io::Error::from_raw_os_error(13);
        let blind_spot = BlindSpot::new("processes that have it open", "/proc/1/fd", denied);
        let expected = "processes that have it open cannot be seen (/proc/1/fd: Permission denied \
                        (os error 13))";
        assert_eq!(blind_spot.to_string(), expected);
    }
}
