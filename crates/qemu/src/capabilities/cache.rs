//! Keeps what a QEMU said, for as long as the binary stays the same.

use super::{Capabilities, ProbeError, Probed, Spawn};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Raised when other questions are asked: an older file is then not taken.
const FORMAT: u32 = 1;

/// A folder with a file for each emulator that was asked.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder; made when it is needed.
    pub dir: PathBuf,
}

/// What a file of the cache holds.
#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    identity: Identity,
    probed: Probed,
}

/// By what a binary is known to be the same.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Cache {
    /// Returns what the binary has: by the cache where it is the same binary still, else by asking it
    /// ([`Capabilities::probe`]). A file that cannot be read or written is passed over.
    ///
    /// # Errors
    /// Those of [`Capabilities::probe`].
    pub fn probe(&self, binary: &Path, spawn: Spawn<'_>) -> Result<Capabilities, ProbeError> {
        let identity =
            Identity::of(binary).map_err(|source| ProbeError::Start { binary: binary.into(), source })?;
        let file = self.file(binary);
        if let Some(probed) = load(&file, &identity) {
            return Capabilities::of(probed);
        }
        let capabilities = Capabilities::probe(binary, spawn)?;
        if let Some(probed) = capabilities.probed.clone() {
            let entry = Entry { format: FORMAT, identity, probed };
            if let Err(error) = self.store(&file, &entry) {
                tracing::debug!(file = %file.display(), %error, "cannot cache the emulator's capabilities");
            }
        }
        Ok(capabilities)
    }

    /// The file's name shows whose it is; that two binaries could share one is found by what it holds.
    fn file(&self, binary: &Path) -> PathBuf {
        let path = binary.display().to_string();
        self.dir.join(format!("{}.json", path.trim_start_matches('/').replace('/', "-")))
    }

    /// Written beside and renamed, so that no reader sees half of it.
    fn store(&self, file: &Path, entry: &Entry) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, serde_json::to_vec(entry)?)?;
        fs::rename(&beside, file)
    }
}

impl Identity {
    fn of(binary: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(binary)?;
        Ok(Self {
            path: binary.into(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

fn load(file: &Path, identity: &Identity) -> Option<Probed> {
    let entry: Entry = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (entry.format == FORMAT && entry.identity == *identity).then_some(entry.probed)
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::*;
    use std::process::Command;

    fn probed(binary: &Path) -> Probed {
        Probed {
            binary: binary.into(),
            target: "x86_64".into(),
            version: Version { major: 9, minor: 8, micro: 7 },
            machines: ["pc".to_owned()].into(),
            types: Default::default(),
            properties: Default::default(),
        }
    }

    /// A cache that holds what a binary said; the binary itself says nothing.
    fn filled(dir: &Path) -> (Cache, PathBuf) {
        let (cache, binary) = (Cache { dir: dir.join("cache") }, dir.join("qemu"));
        fs::write(&binary, "not an emulator").unwrap();
        let identity = Identity::of(&binary).unwrap();
        let entry = Entry { format: FORMAT, identity, probed: probed(&binary) };
        cache.store(&cache.file(&binary), &entry).unwrap();
        (cache, binary)
    }

    #[test]
    fn the_same_binary_is_not_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        assert_eq!(
            cache.probe(&binary, &Command::spawn).unwrap().version(),
            Version { major: 9, minor: 8, micro: 7 }
        );
        let files: Vec<_> = fs::read_dir(&cache.dir).unwrap().collect();
        assert_eq!(files.len(), 1, "no half-written file stays");
    }

    #[test]
    fn a_changed_binary_and_a_broken_file_are_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        fs::write(&binary, "not the same emulator").unwrap();
        assert!(matches!(cache.probe(&binary, &Command::spawn), Err(ProbeError::Start { .. })));
        let (cache, binary) = filled(dir.path());
        fs::write(cache.file(&binary), "{\"format\":").unwrap();
        assert!(matches!(cache.probe(&binary, &Command::spawn), Err(ProbeError::Start { .. })));
    }
}
