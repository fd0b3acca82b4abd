//! Versions of the packages that determine the virtual host. They are recorded in the cache until
//! an update.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::Cache;

/// Recorded versions by package.
#[derive(Debug)]
pub(super) struct Pins {
    path: PathBuf,
    versions: BTreeMap<String, String>,
}

impl Pins {
    pub(super) fn read(cache: &Cache) -> Result<Self> {
        let path = cache.root().join("versions.json");
        let versions = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        Ok(Self { path, versions })
    }

    pub(super) fn get(&self, package: &str) -> Option<&str> {
        self.versions.get(package).map(String::as_str)
    }

    /// Records a version, durably.
    pub(super) fn set(&mut self, package: &str, version: &str) -> Result<()> {
        self.versions.insert(package.to_owned(), version.to_owned());
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&self.versions)?)?;
        fs::rename(&new, &self.path)?;
        Ok(())
    }
}
