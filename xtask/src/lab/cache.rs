//! The cache: finished pieces (kernel, root file system, disks), each in a folder named by a hash
//! of its inputs. A piece is made in `NAME.partial` and renamed when whole, so that a folder with a
//! piece's name is never half of one.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hmac_sha256::Hash;
use rustix::fs::{FlockOperation, flock, fsync, syncfs};

/// Hexadecimal digits of a key.
const KEY_DIGITS: usize = 12;

/// The cache's folder.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A lock, held as long as this lives.
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// Opens `$PASSTHRU_LAB`, else `passthru/lab` in `$XDG_CACHE_HOME` or ~/.cache; makes it if
    /// need be.
    pub(super) fn open() -> Result<Self> {
        let folder = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let default = || {
            let caches =
                folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
            Some(caches.join("passthru/lab"))
        };
        let root = folder("PASSTHRU_LAB")
            .or_else(default)
            .context("none of PASSTHRU_LAB, XDG_CACHE_HOME, HOME is set")?;
        fs::create_dir_all(&root).with_context(|| format!("{}", root.display()))?;
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of the cache, made if need be.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// The piece that these inputs make.
    pub(super) fn piece(&self, name: &str, inputs: &[&str]) -> Piece {
        Piece {
            path: self.root.join(format!("{name}-{}", key(inputs))),
        }
    }

    /// Waits until no other setup works on this cache, and keeps others out.
    pub(super) fn lock_for_setup(&self) -> Result<Lock> {
        let lock = self.lock_file("setup.lock")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for another `lab setup` to end");
            flock(&lock, FlockOperation::LockExclusive)?;
        }
        Ok(Lock { _file: lock })
    }

    /// Keeps pieces from being removed while they are used.
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

    /// Pieces and leftovers that are none of `kept`.
    pub(super) fn stale(&self, kept: &[Piece]) -> Result<Vec<PathBuf>> {
        let is_kept = |path: &PathBuf| {
            kept.iter()
                .any(|piece| piece.path == path.with_extension(""))
        };
        let mut stale = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if Piece::is_name(&entry.file_name().to_string_lossy()) && !is_kept(&entry.path()) {
                stale.push(entry.path());
            }
        }
        stale.sort();
        Ok(stale)
    }

    /// Removes pieces; refused while a virtual host runs from this cache.
    pub(super) fn remove(&self, pieces: &[PathBuf]) -> Result<()> {
        let lock = self.lock_file("use.lock")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "a virtual host runs from {}: nothing is removed",
                self.root.display()
            );
        }
        pieces.iter().try_for_each(|path| remove(path))
    }
}

/// A part of the virtual host, whole or not yet there.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    path: PathBuf,
}

impl Piece {
    const NAMES: [&str; 3] = ["kernel", "rootfs", "disks"];

    /// Whether a file of the cache's folder has the name of a piece or of one in the making, to the
    /// letter: the folder may hold what is not ours.
    fn is_name(name: &str) -> bool {
        let name = name
            .strip_suffix(".partial")
            .or_else(|| name.strip_suffix(".work"))
            .unwrap_or(name);
        let is_key = |key: &str| {
            key.len() == KEY_DIGITS && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        name.split_once('-')
            .is_some_and(|(piece, key)| Self::NAMES.contains(&piece) && is_key(key))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_whole(&self) -> bool {
        self.path.exists()
    }

    /// A folder for work that may go on after an interruption; goes away with [`Self::make`].
    pub(super) fn work(&self) -> Result<PathBuf> {
        let path = self.path.with_extension("work");
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Makes the piece: `fill` fills an empty folder, which then gets the piece's name.
    pub(super) fn make(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let partial = self.path.with_extension("partial");
        remove(&partial)?;
        fs::create_dir_all(&partial)?;
        fill(&partial)?;
        syncfs(File::open(&partial)?)?;
        fs::rename(&partial, &self.path)?;
        if let Some(parent) = self.path.parent() {
            fsync(File::open(parent)?)?;
        }
        remove(&self.path.with_extension("work"))
    }
}

fn remove(path: &Path) -> Result<()> {
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
    fn failed_entry_is_incomplete_and_starts_empty() {
        let (_folder, cache) = cache();
        let piece = cache.piece("kernel", &["a"]);
        let failed = piece.make(|partial| {
            fs::write(partial.join("half"), "")?;
            bail!("killed")
        });
        assert!(failed.is_err() && !piece.is_whole());
        piece
            .make(|partial| Ok(fs::write(partial.join("image"), "")?))
            .unwrap();
        assert!(
            piece.is_whole()
                && piece.path().join("image").exists()
                && !piece.path().join("half").exists()
        );
    }

    #[test]
    fn key_depends_on_each_input_and_its_border() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["b"]));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }

    #[test]
    fn entries_of_keys_not_in_use_are_stale() {
        let (_folder, cache) = cache();
        let (old, new) = (
            cache.piece("kernel", &["old"]),
            cache.piece("kernel", &["new"]),
        );
        for piece in [&old, &new] {
            piece.make(|_| Ok(())).unwrap();
        }
        cache.folder("runs").unwrap();
        // What is not ours, whatever it is called.
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
        assert!(!old.is_whole() && new.is_whole());
    }

    #[test]
    fn nothing_is_removed_while_in_use() {
        let (_folder, cache) = cache();
        let piece = cache.piece("disks", &[]);
        piece.make(|_| Ok(())).unwrap();
        let _lock = cache.lock_for_use().unwrap();
        assert!(cache.remove(&[piece.path().to_owned()]).is_err());
        assert!(piece.is_whole());
    }
}
