//! Times and sizes for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a length of time in its largest unit that is whole: `90 s` is `1 min`.
fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns the time in seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// Returns the length of time between two times in seconds; `0 s` if the first one is later.
pub(crate) fn age_text(since: u64, now: u64) -> String {
    duration_text(Duration::from_secs(now.saturating_sub(since)))
}

/// Returns a number of bytes in MiB.
pub(crate) fn size_text(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_has_its_largest_whole_unit() {
        for (seconds, text) in [(59, "59 s"), (60, "1 min"), (7199, "1 h"), (90_000, "1 d")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }
}
