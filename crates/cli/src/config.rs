//! The configuration file, `/etc/passthru/config.toml`.

use crate::error::Error;
use crate::exit::Code;
use crate::source;
use passthru_guest::UidRange;
use serde::{Deserialize, Deserializer};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where it is when no other is named.
const PATH: &str = "/etc/passthru/config.toml";
/// The largest file that is read, in bytes.
const MOST: u64 = 1 << 20;

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
    /// Reads the named file, or the usual one if it is there.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Error> {
        let path = named.unwrap_or(Path::new(PATH));
        let failed = |problem: Problem| Error::new(Code::Usage, problem);
        match read(path) {
            Ok(text) => toml::from_str(&text).map_err(|source| {
                failed(Problem::Parse {
                    path: path.into(),
                    source,
                })
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(source) => Err(failed(Problem::Read {
                path: path.into(),
                source,
            })),
        }
    }
}

/// Reads a file of text, of 1 MiB at most. A FIFO without a writer is an error.
fn read(path: &Path) -> io::Result<String> {
    let file = source::open(path)?;
    let is_regular = file.metadata()?.is_file();
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.is_empty() && !is_regular {
        return Err(io::Error::other("no program writes to it"));
    }
    if text.len() as u64 > MOST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 1 MiB",
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_file_and_endless_device_are_refused() {
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(MOST + 1).unwrap();
        for path in [large.path(), Path::new("/dev/zero")] {
            assert_eq!(
                read(path).unwrap_err().to_string(),
                "it has more than 1 MiB"
            );
        }
    }

    #[test]
    fn uid_range_is_read_and_a_bad_one_is_named() {
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
