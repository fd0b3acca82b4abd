//! UUIDs, which name mediated devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Positions of the hyphens in the text of a UUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// The name of a mediated device: a UUID, as the kernel's `guid_t`.
///
/// The text has lower-case digits, as in sysfs. Parsing takes upper-case digits too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(u128);

/// A text that is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a UUID")]
pub struct ParseUuidError {
    text: String,
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| {
                if HYPHENS.contains(&at) {
                    byte == b'-'
                } else {
                    byte.is_ascii_hexdigit()
                }
            });
        let digits = text.replace('-', "");
        match u128::from_str_radix(&digits, 16) {
            Ok(number) if is_uuid => Ok(Self(number)),
            _ => Err(ParseUuidError { text: text.into() }),
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let mut start = 0;
        for end in [8, 12, 16, 20] {
            write!(f, "{}-", &digits[start..end])?;
            start = end;
        }

        f.write_str(&digits[start..])
    }
}

impl TryFrom<String> for Uuid {
    type Error = ParseUuidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_is_printed_as_sysfs_prints_it() {
        let text = "0FB4F2D1-509f-382f-3c1e-e6bfe0fa1001";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text.to_lowercase());
        let json = serde_json::to_string(&uuid).unwrap();
        assert_eq!(serde_json::from_str::<Uuid>(&json).unwrap(), uuid);
    }

    #[test]
    fn other_text_is_not_a_uuid() {
        for text in [
            "",
            "../../../../../../../../../etc/passwd",
            "0fb4f2d1509f382f3c1ee6bfe0fa1001",
            "0fb4f2d1-509f-382f-3c1e-e6bfe0fa100",
            "0fb4f2d1-509f-382f-3c1e-e6bfe0fa100g",
            "+fb4f2d1-509f-382f-3c1e-e6bfe0fa1001",
            "0fb4f2d15-09f-382f-3c1e-e6bfe0fa1001",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
