//! Lengths of time for people.

use std::time::Duration;

/// Returns a length of time in its largest unit that is whole: `90 s` is `1 min`.
pub(crate) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
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
