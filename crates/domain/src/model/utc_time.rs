//! Moments in UTC.

use std::fmt;
use std::str::FromStr;

/// A moment in UTC, as in `2031-04-09T15:51:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcTime {
    /// Year, from 1.
    year: u16,
    /// Month, from 1.
    month: u16,
    /// Day of the month, from 1.
    day: u16,
    hour: u16,
    minute: u16,
    second: u16,
}

const EXPECTED: &str = "expected a time in UTC, as in 2031-04-09T15:51:00";

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

impl UtcTime {
    /// Returns the number of seconds since 1970, which is negative before.
    pub fn unix_seconds(self) -> i64 {
        let time = (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60;
        self.days() * SECONDS_A_DAY + time + i64::from(self.second)
    }

    /// Returns the number of days since 1970 in the Gregorian calendar. Years are counted from
    /// March, so that a leap day is the last day of its year.
    fn days(self) -> i64 {
        let month = i64::from((self.month + 9) % 12);
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let leap_days = year / 4 - year / 100 + year / 400;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        // 719468 days lie between the first of March of the year 0 and the start of 1970.
        year * 365 + leap_days + day_of_year - 719_468
    }

    /// Returns whether the calendar has such a day, and the day such a time.
    const fn is_possible(self) -> bool {
        let is_leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => return false,
        };
        self.year > 0
            && self.day >= 1
            && self.day <= days
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }
}

impl FromStr for UtcTime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = text.split_once('T').ok_or(EXPECTED)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or(EXPECTED)?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or(EXPECTED)?;
        let moment = Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        };
        moment.is_possible().then_some(moment).ok_or(EXPECTED)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )
    }
}
crate::xml::value::value_by_display!(UtcTime);

/// Parses three numbers of fixed widths with a separator between them.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        if part.len() != width || !is_number {
            return None;
        }
        *number = part.parse().ok()?;
    }

    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_their_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00", 0),
            ("1969-12-31T23:59:59", -1),
            ("2000-02-29T12:00:00", 951_825_600),
            ("2010-04-09T15:51:00", 1_270_828_260),
            ("2038-01-19T03:14:08Z", 2_147_483_648),
            ("2100-03-01T00:00:00", 4_107_542_400),
        ] {
            let moment: UtcTime = text.parse().unwrap();
            assert_eq!(moment.unix_seconds(), seconds, "{text}");
            assert_eq!(moment.to_string(), text.trim_end_matches('Z'));
        }
    }

    #[test]
    fn impossible_moments_are_refused() {
        for text in [
            "",
            "2031-04-09",
            "2031-02-29T00:00:00",
            "2031-13-01T00:00:00",
            "2031-04-09T24:00:00",
            "2031-4-09T15:51:00",
            "2031-04-09T15:51:00.5",
            "2031-04-09T15:51:00+02:00",
        ] {
            text.parse::<UtcTime>().unwrap_err();
        }
    }
}
