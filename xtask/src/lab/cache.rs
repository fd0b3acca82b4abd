//! The cache: kernel, root file system and disks, each in a folder named by a hash of its inputs.
//!
//! An entry is made in `NAME.partial` and renamed when complete, so that a folder with an entry's
//! name is always complete.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hmac_sha256::Hash;
use rustix::fs::{FlockOperation, flock, fsync, syncfs};

/// Number of hexadecimal digits of a key.
const KEY_DIGITS: usize = 12;

/// The folder of the cache.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A file lock, held until drop.
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// Opens `$PASSTHRU_LAB`, or else `passthru/lab` in `$XDG_CACHE_HOME` or ~/.cache. Makes the
    /// folder if it is missing.
    pub(super) fn open() -> Result<Self> {
        let root = folder_variable("PASSTHRU_LAB")
            .or_else(default_root)
            .context("none of PASSTHRU_LAB, XDG_CACHE_HOME, HOME is set")?;
        fs::create_dir_all(&root).with_context(|| format!("{}", root.display()))?;
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a folder of the cache. Makes the folder if it is missing.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// Returns the entry of a name and its inputs.
    pub(super) fn entry(&self, name: &str, inputs: &[&str]) -> CacheEntry {
        CacheEntry {
            path: self.root.join(format!("{name}-{}", key(inputs))),
        }
    }

    /// Locks the cache for a setup. Waits while another setup holds the lock.
    pub(super) fn lock_for_setup(&self) -> Result<Lock> {
        let lock = self.lock_file("setup.lock")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for another `lab setup` to end");
            flock(&lock, FlockOperation::LockExclusive)?;
        }

        Ok(Lock { _file: lock })
    }

    /// Locks the cache against the removal of entries.
    pub(super) fn lock_for_use(&self) -> Result<Lock> {
        let lock = self.lock_file("use.lock")?;
        flock(&lock, FlockOperation::LockShared)?;
        Ok(Lock { _file: lock })
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.root.join(name);
        let opened = File::open(&path).or_else(|error| match error.kind() {
            ErrorKind::NotFound => File::create(&path),
            _ => Err(error),
        });
        opened.with_context(|| format!("{}", path.display()))
    }

    /// Lists the entries that are not in `kept`, and their leftovers.
    pub(super) fn stale(&self, kept: &[CacheEntry]) -> Result<Vec<PathBuf>> {
        let mut stale = Vec::new();
        for file in fs::read_dir(&self.root)? {
            let file = file?;
            let path = file.path();
            let base = path.with_extension("");
            let is_kept = kept.iter().any(|entry| entry.path == base);
            if CacheEntry::is_entry_name(&file.file_name().to_string_lossy()) && !is_kept {
                stale.push(path);
            }
        }

        stale.sort();
        Ok(stale)
    }

    /// Removes entries. Fails while a virtual host runs from this cache.
    pub(super) fn remove(&self, entries: &[PathBuf]) -> Result<()> {
        let lock = self.lock_file("use.lock")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "a virtual host runs from {}: nothing is removed",
                self.root.display()
            );
        }

        entries.iter().try_for_each(|path| remove_folder(path))
    }
}

fn default_root() -> Option<PathBuf> {
    let caches = folder_variable("XDG_CACHE_HOME");
    let caches = caches.or_else(|| Some(folder_variable("HOME")?.join(".cache")));
    Some(caches?.join("passthru/lab"))
}

fn folder_variable(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name)?;
    (!value.is_empty()).then(|| value.into())
}

/// A cached part of the virtual host, complete or not.
#[derive(Debug, Clone)]
pub(super) struct CacheEntry {
    path: PathBuf,
}

impl CacheEntry {
    const NAMES: [&str; 3] = ["kernel", "rootfs", "disks"];

    /// Returns whether a file name is that of an entry or of its leftovers. The cache's folder may
    /// hold foreign files.
    fn is_entry_name(name: &str) -> bool {
        let name = name
            .strip_suffix(".partial")
            .or_else(|| name.strip_suffix(".work"))
            .unwrap_or(name);
        let Some((name, key)) = name.split_once('-') else {
            return false;
        };
        let is_hexadecimal = key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Self::NAMES.contains(&name) && key.len() == KEY_DIGITS && is_hexadecimal
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_complete(&self) -> bool {
        self.path.exists()
    }

    /// Returns a folder for intermediate files, kept if the work is interrupted. [`Self::make`]
    /// removes it at the end.
    pub(super) fn work(&self) -> Result<PathBuf> {
        let path = self.path.with_extension("work");
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Makes the entry: `fill` fills an empty folder, which then gets the entry's name.
    pub(super) fn make(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let partial = self.path.with_extension("partial");
        remove_folder(&partial)?;
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        syncfs(File::open(&partial)?)?;
        fs::rename(&partial, &self.path)?;
        if let Some(parent) = self.path.parent() {
            fsync(File::open(parent)?)?;
        }
        remove_folder(&self.path.with_extension("work"))
    }
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}", path.display()))
        }
        _ => Ok(()),
    }
}

fn key(inputs: &[&str]) -> String {
    let mut hash = Hash::new();
    for input in inputs {
        hash.update(input.len().to_le_bytes());
        hash.update(input.as_bytes());
    }

    hash.finalize()
        .iter()
        .take(KEY_DIGITS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: folder.path().to_owned(),
        };
        (folder, cache)
    }

    #[test]
    fn failed_entry_is_incomplete_and_made_anew() {
        let (_folder, cache) = cache();
        let entry = cache.entry("kernel", &["a"]);
        let failed = entry.make(|partial| {
            fs::write(partial.join("half"), "")?;
            bail!("killed")
        });
        assert!(failed.is_err() && !entry.is_complete());

        entry
            .make(|partial| Ok(fs::write(partial.join("image"), "")?))
            .unwrap();
        assert!(
            entry.is_complete()
                && entry.path().join("image").exists()
                && !entry.path().join("half").exists()
        );
    }

    #[test]
    fn key_depends_on_inputs_and_their_boundaries() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["b"]));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }

    #[test]
    fn only_entries_that_are_not_kept_are_stale() {
        let (_folder, cache) = cache();
        let old = cache.entry("kernel", &["old"]);
        let new = cache.entry("kernel", &["new"]);
        for entry in [&old, &new] {
            entry.make(|_| Ok(())).unwrap();
        }
        cache.folder("runs").unwrap();
        // Foreign files with similar names.
        for name in [
            "kernel-patches",
            "disks-backup",
            "kernel-0123456789ab.old",
            "rootfs-0123456789AB",
        ] {
            cache.folder(name).unwrap();
        }

        let stale = cache.stale(std::slice::from_ref(&new)).unwrap();

        assert_eq!(stale, [old.path().to_owned()]);

        cache.remove(&stale).unwrap();
        assert!(!old.is_complete() && new.is_complete());
    }

    #[test]
    fn cache_in_use_refuses_removal() {
        let (_folder, cache) = cache();
        let entry = cache.entry("disks", &[]);
        entry.make(|_| Ok(())).unwrap();
        let _lock = cache.lock_for_use().unwrap();

        assert!(cache.remove(&[entry.path().to_owned()]).is_err());
        assert!(entry.is_complete());
    }
}
