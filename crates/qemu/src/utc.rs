//! Times in UTC, as text.

const SECONDS_OF_DAY: u64 = 86_400;

/// Formats seconds since 1970 as `2006-06-17T16:01:21`, in the proleptic Gregorian calendar.
pub fn format_utc(seconds: u64) -> String {
    let days = seconds / SECONDS_OF_DAY;
    let second = seconds % SECONDS_OF_DAY;
    let date = Date::from_days(days);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year,
        date.month,
        date.day,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A day of the Gregorian calendar.
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl Date {
    /// Makes the date of a day, counted from 1970-01-01.
    ///
    /// The calendar repeats after 400 years, which have 146,097 days. A year that begins in March
    /// has its leap day at its end, and five months from March on have 153 days.
    fn from_days(days: u64) -> Self {
        // Days from 1 March of the year 0 to 1970-01-01.
        let days = days + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
        let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
        let first_day = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
        let day_of_year = day_of_era - first_day;
        // Months from March on.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let is_next_year = month >= 10;
        Self {
            year: era * 400 + year_of_era + u64::from(is_next_year),
            month: if is_next_year { month - 9 } else { month + 3 },
            day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_have_their_dates() {
        assert_eq!(format_utc(0), "1970-01-01T00:00:00");
        assert_eq!(format_utc(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(format_utc(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(format_utc(951_827_696), "2000-02-29T12:34:56");
        assert_eq!(format_utc(1_150_560_081), "2006-06-17T16:01:21");
        assert_eq!(format_utc(4_107_542_400), "2100-03-01T00:00:00");
        assert_eq!(format_utc(951_868_800), "2000-03-01T00:00:00");
        assert_eq!(format_utc(1_000_000_000), "2001-09-09T01:46:40");
        assert_eq!(format_utc(1_735_689_599), "2024-12-31T23:59:59");
    }

    #[test]
    fn each_day_of_four_centuries_follows_the_last() {
        let mut last = Date::from_days(0);
        for days in 1..146_097 {
            let next = Date::from_days(days);
            let follows_in_month = next.month == last.month && next.day == last.day + 1;
            let follows_in_year =
                next.year == last.year && next.month == last.month + 1 && next.day == 1;
            let begins_year =
                next.year == last.year + 1 && (next.month, next.day, last.day) == (1, 1, 31);
            assert!(follows_in_month || follows_in_year || begins_year, "{days}");
            last = next;
        }

        assert_eq!((last.year, last.month, last.day), (2369, 12, 31));
    }
}
