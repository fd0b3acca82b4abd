//! The configuration file, `/etc/passthru/config.toml`.

use crate::error::Error;
use crate::exit::Code;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// Where it is when no other is named.
const PATH: &str = "/etc/passthru/config.toml";

/// What an administrator sets once for all guests. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The user that VMMs run as.
    pub(crate) user: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not understood", path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
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
