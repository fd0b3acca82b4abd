//! Sets of numbers such as `0-3,^2,8`: CPUs or NUMA nodes.

use std::fmt;
use std::str::FromStr;

use crate::xml::value::Value;

/// Exclusive upper bound of the numbers. No host has as many CPUs or NUMA nodes.
const LIMIT: u32 = 16384;

/// A set of CPUs or NUMA nodes, written in its shortest form. A set read from a document is never
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdSet {
    /// Inclusive ranges in ascending order with gaps between them. A set thus takes no more memory
    /// than its text.
    runs: Vec<(u32, u32)>,
}

impl IdSet {
    /// Creates a set of these numbers.
    pub fn from_ids(ids: impl IntoIterator<Item = u32>) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().collect();
        ids.sort_unstable();
        let mut set = Self::default();
        for id in ids {
            set.push(id, id);
        }
        set
    }

    /// Adds a range whose start is not below the start of the last range.
    fn push(&mut self, first: u32, last: u32) {
        match self.runs.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last,
            _ => self.runs.push((first, last)),
        }
    }

    /// Returns an iterator over the numbers, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Returns whether the set contains a number.
    pub fn contains(&self, id: u32) -> bool {
        self.runs
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&id))
    }

    /// Returns the highest number.
    pub fn last(&self) -> Option<u32> {
        self.runs.last().map(|(_, last)| *last)
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the inclusive ranges, in ascending order.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.runs
    }
}

/// A bit for each number below [`LIMIT`], 64 in a word.
struct Bits([u64; LIMIT as usize / 64]);

impl Bits {
    /// Applies one item of the text (`3`, `0-3` or `^2`). Returns `None` if the item is invalid or
    /// removes a number that is not in the set.
    fn apply(&mut self, item: &str) -> Option<()> {
        if let Some(out) = item.strip_prefix('^') {
            let out = number(out)?;
            let word = self.0.get_mut(out as usize / 64)?;
            let bit = 1 << (out % 64);
            let was_in = *word & bit != 0;
            *word &= !bit;
            return was_in.then_some(());
        }

        let (first, last) = match item.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(item)?, number(item)?),
        };
        let words = self.0.get_mut(first as usize / 64..=last as usize / 64)?;
        for (number, word) in (first / 64..).zip(words) {
            let from = if number == first / 64 { first % 64 } else { 0 };
            let to = if number == last / 64 { last % 64 } else { 63 };
            *word |= (u64::MAX << from) & (u64::MAX >> (63 - to));
        }

        (first <= last).then_some(())
    }

    fn set(&self) -> IdSet {
        let mut set = IdSet::default();
        for (start, word) in (0..).step_by(64).zip(self.0) {
            match word {
                0 => {}
                u64::MAX => set.push(start, start + 63),
                _ => {
                    for id in (0..64).filter(|n| word & (1 << n) != 0) {
                        set.push(start + id, start + id);
                    }
                }
            }
        }

        set
    }
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n < LIMIT)
}

impl Value for IdSet {
    fn read(text: &str) -> Result<Self, String> {
        let mut bits = Bits([0; LIMIT as usize / 64]);
        let all = text.split(',').try_for_each(|item| bits.apply(item.trim()));
        let set = bits.set();
        match all {
            Some(()) if !set.is_empty() => Ok(set),
            Some(()) => Err("the set is empty".into()),
            None => Err(format!("expected numbers below {LIMIT} as in '0-3,^2,8'")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl FromStr for IdSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text)
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.runs.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        IdSet::read(text).map(|set| set.to_string())
    }

    #[test]
    fn set_is_written_in_its_shortest_form() {
        assert_eq!(read("0,1,2,^1, 8-9").as_deref(), Ok("0,2,8-9"));
        assert_eq!(read("7").as_deref(), Ok("7"));
        assert_eq!(
            read("60-70,64,^66,0-16383,^100").as_deref(),
            Ok("0-99,101-16383")
        );
        assert_eq!(read("63,64,127-128,^127").as_deref(), Ok("63-64,128"));
    }

    #[test]
    fn malformed_or_empty_set_is_refused() {
        for text in [
            "",
            "0,^0",
            "^1",
            "3-1",
            "a",
            "-1",
            "1-",
            "16384",
            "0-99999999999",
            "+1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
