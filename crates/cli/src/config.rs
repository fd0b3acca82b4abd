//! The configuration file, `/etc/passthru/config.toml`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use passthru_guest::UidRange;
use passthru_host::read_bounded;
use serde::{Deserialize, Deserializer};

use crate::access::AccessLists;
use crate::error::Error;
use crate::exit::Code;
use crate::input;

/// File that is read if no other is named.
const DEFAULT_PATH: &str = "/etc/passthru/config.toml";
/// Size limit of the file.
const MAX_BYTES: u64 = 1 << 20;

/// Settings of an administrator for all guests. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// User that VMMs run as, instead of one of each guest's own. `--user` overrides it.
    pub(crate) user: Option<String>,
    /// Range of the guests' user ids, `FIRST-LAST`.
    #[serde(default, rename = "uid-range", deserialize_with = "uid_range")]
    pub(crate) uid_range: UidRange,
    /// Users that may use the guests of root, besides root.
    #[serde(default)]
    pub(crate) access: AccessLists,
}

/// Failure to read the configuration.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not understood", path.display())]
    Parse {
        path: PathBuf,
        source: toml::de::Error,
    },
}

fn uid_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UidRange, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

impl Config {
    /// Reads the named file, or [`DEFAULT_PATH`] if that exists.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Error> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            Err(source) => {
                let path = path.into();
                return Err(Error::new(Code::Usage, ConfigError::Read { path, source }));
            }
        };
        toml::from_str(&text).map_err(|source| {
            let path = path.into();
            Error::new(Code::Usage, ConfigError::Parse { path, source })
        })
    }
}

/// Reads a text file of 1 MiB at most. A FIFO without a writer is an error.
fn read(path: &Path) -> io::Result<String> {
    let file = input::open(path)?;
    let is_regular = file.metadata()?.is_file();
    let bytes = read_bounded(file, MAX_BYTES)?;
    if bytes.is_empty() && !is_regular {
        return Err(io::Error::other("no program writes to it"));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_file_and_endless_device_are_refused() {
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(MAX_BYTES + 1).unwrap();
        for path in [large.path(), Path::new("/dev/zero")] {
            assert_eq!(
                read(path).unwrap_err().to_string(),
                "it has more than 1 MiB"
            );
        }
    }

    #[test]
    fn uid_range_is_read_or_refused_by_name() {
        let config: Config = toml::from_str("uid-range = \"2100000000-2100000009\"").unwrap();
        assert_eq!(config.uid_range.to_string(), "2100000000-2100000009");
        assert_eq!(Config::default().uid_range, UidRange::default());

        let error = toml::from_str::<Config>("uid-range = \"0-9\"").unwrap_err();
        assert!(
            error.to_string().contains("ids up to 999 are the system's"),
            "{error}"
        );
    }
}
