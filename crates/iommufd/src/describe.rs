//! Descriptions of arguments, for the messages of [`Error`](crate::Error).

use std::ops::RangeInclusive;

/// Describes the request for a setting: allow, forbid, or read if `None`.
pub(crate) fn describe_setting(to: Option<bool>) -> &'static str {
    match to {
        Some(true) => "allow",
        Some(false) => "forbid",
        None => "read the setting for",
    }
}

/// Describes a page table by the owner of its entries and its features.
pub(crate) fn describe_page_table(flags: u32, data_type: u32) -> String {
    let mut words = match data_type {
        0 => "the kernel's".to_owned(),
        kind => format!("the guest's (type {kind})"),
    };
    let features = ["nest parent", "dirty tracking", "fault queue", "PASID"];
    for (bit, feature) in features.into_iter().enumerate() {
        if flags & (1 << bit) != 0 {
            words.push_str(", ");
            words.push_str(feature);
        }
    }

    words
}

/// Formats ranges, separated by commas.
pub(crate) fn describe_ranges(ranges: &[RangeInclusive<u64>]) -> String {
    let ranges = ranges
        .iter()
        .map(|range| format!("{:#x}-{:#x}", range.start(), range.end()));
    ranges.collect::<Vec<_>>().join(", ")
}
