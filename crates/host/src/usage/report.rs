//! The report on one device: its usages, and the blind spots that may hide others.

use serde::Serialize;

use super::blind_spot::BlindSpot;
use super::severity::Severity;
use super::usage::Usage;

/// The usages of a device, and the blind spots that may hide others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// The usages that were found.
    pub usages: Vec<Usage>,
    /// Parts of the host that could not be inspected. Each may hide further usages.
    pub blind_spots: Vec<BlindSpot>,
}

/// The short form of [`UsageReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole host was inspected, and no usage blocks.
    Free,
    /// A usage blocks.
    Used,
    /// No blocking usage was found, but there are blind spots. Callers must treat the device as
    /// used.
    Unknown,
}

impl UsageReport {
    /// Returns the verdict: `Free` only if the device may be taken.
    pub fn verdict(&self) -> Verdict {
        if self.blocking().next().is_some() {
            Verdict::Used
        } else if self.blind_spots.is_empty() {
            Verdict::Free
        } else {
            Verdict::Unknown
        }
    }

    /// Returns the usages that taking the device would break.
    pub fn blocking(&self) -> impl Iterator<Item = &Usage> {
        self.usages
            .iter()
            .filter(|usage| usage.severity() == Severity::Blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkPurpose, NetworkUsage};

    #[test]
    fn blind_spot_makes_a_free_device_unknown() {
        let mut report = UsageReport::default();
        assert_eq!(report.verdict(), Verdict::Free);

        let only_link = NetworkUsage {
            netdev: "eth0".into(),
            interface: "eth0".into(),
            purpose: NetworkPurpose::OnlyLink,
            more: 0,
        };
        report.usages.push(Usage::Network(only_link));
        assert_eq!(report.verdict(), Verdict::Free);

        let blind_spot = BlindSpot::new("processes that have it open", "/proc/1/fd", "denied");
        report.blind_spots.push(blind_spot);
        assert_eq!(report.verdict(), Verdict::Unknown);

        report.usages.push(Usage::Console);
        assert_eq!(report.verdict(), Verdict::Used);
    }
}
