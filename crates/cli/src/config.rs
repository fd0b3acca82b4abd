//! The configuration file, `/etc/passthru/config.toml`.

use crate::error::Error;
use crate::exit::Code;
use passthru_guest::UidRange;
use serde::{Deserialize, Deserializer};
use std::io;
use std::path::{Path, PathBuf};

/// Where it is when no other is named.
const PATH: &str = "/etc/passthru/config.toml";

/// What an administrator sets once for all guests. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// User that VMMs run as, instead of one of each guest's own: the same as `--user`.
    pub(crate) user: Option<String>,
    /// Range that guests get their user ids from, `FIRST-LAST`.
    #[serde(default, rename = "uid-range", deserialize_with = "uid_range")]
    pub(crate) uid_range: UidRange,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not understood", path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
}

fn uid_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UidRange, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Config {
    /// Reads the named file, or the usual one if it is there.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Error> {
        let path = named.unwrap_or(Path::new(PATH));
        let failed = |problem: Problem| Error::new(Code::Usage, problem);
        match std::fs::read_to_string(path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|source| failed(Problem::Parse { path: path.into(), source }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(source) => Err(failed(Problem::Read { path: path.into(), source })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_range_is_read_and_a_bad_one_is_named() {
        let config: Config = toml::from_str("uid-range = \"2100000000-2100000009\"").unwrap();
        assert_eq!(config.uid_range.to_string(), "2100000000-2100000009");
        assert_eq!(Config::default().uid_range, UidRange::default());
        let error = toml::from_str::<Config>("uid-range = \"0-9\"").unwrap_err();
        assert!(error.to_string().contains("ids up to 999 are the system's"), "{error}");
    }
}
