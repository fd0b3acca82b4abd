//! Sets of numbers, as `0-3,^2,8`: CPUs, NUMA nodes.

use crate::xml::value::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One above the highest number in a set: no host has as many CPUs or nodes.
const LIMIT: u32 = 16384;

/// A set of CPUs or NUMA nodes, never empty when it was read. It is written in its shortest form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdSet(BTreeSet<u32>);

impl IdSet {
    /// Makes a set of these numbers.
    pub fn of(ids: impl IntoIterator<Item = u32>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Returns the numbers, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// Whether a number is in it.
    pub fn contains(&self, id: u32) -> bool {
        self.0.contains(&id)
    }

    /// Returns the highest number.
    pub fn last(&self) -> Option<u32> {
        self.0.last().copied()
    }

    /// Whether there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the numbers as runs, each with its first and last.
    pub fn runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for id in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == id => *last = id,
                _ => runs.push((id, id)),
            }
        }
        runs
    }

    /// Adds or takes away what one item of the text says.
    fn apply(&mut self, item: &str) -> Option<()> {
        if let Some(out) = item.strip_prefix('^') {
            return self.0.remove(&number(out)?).then_some(());
        }
        let (first, last) = match item.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(item)?, number(item)?),
        };
        (first <= last).then(|| self.0.extend(first..=last))
    }
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n < LIMIT)
}

impl Value for IdSet {
    fn read(text: &str) -> Result<Self, String> {
        let mut set = Self::default();
        let all = text.split(',').try_for_each(|item| set.apply(item.trim()));
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
        for (n, (first, last)) in self.runs().into_iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
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
    fn a_set_is_written_in_its_shortest_form() {
        assert_eq!(read("0,1,2,^1, 8-9").as_deref(), Ok("0,2,8-9"));
        assert_eq!(read("7").as_deref(), Ok("7"));
    }

    #[test]
    fn what_is_no_set_or_an_empty_one_is_refused() {
        for text in ["", "0,^0", "^1", "3-1", "a", "-1", "1-", "16384", "0-99999999999", "+1"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
