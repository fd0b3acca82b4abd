//! A cache of the answers of probed QEMUs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::emulator::Capabilities;
use super::error::ProbeError;
use super::probe::Spawn;
use super::probed::Probed;

/// Version of the file format. Raise it when a probe asks other questions; files of other
/// versions are not read.
const FORMAT: u32 = 2;

/// Largest number of bytes that are read of a file.
const MOST_BYTES: u64 = 16 << 20;

/// A folder with a file for each probed emulator.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Path of the folder, which is created if needed.
    pub dir: PathBuf,
}

/// The contents of a file of the cache.
#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    identity: Identity,
    probed: Probed,
}

/// Marks by which a binary is recognized as unchanged.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change.
    modified: (i64, i64),
    /// Modules that the binary can load (`/usr/lib/*/qemu/*.so`). They add devices.
    modules: Vec<Module>,
}

/// A module file of a QEMU.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Module {
    path: PathBuf,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Cache {
    /// Returns the capabilities of a binary: from the cache if the binary has not changed, else by
    /// [`Capabilities::probe`]. A file of the cache that cannot be read or written is ignored.
    ///
    /// # Errors
    /// Those of [`Capabilities::probe`].
    pub fn probe(&self, binary: &Path, spawn: Spawn<'_>) -> Result<Capabilities, ProbeError> {
        let identity = Identity::read(binary).map_err(|source| ProbeError::Start {
            binary: binary.into(),
            source,
        })?;
        let file = self.file(binary);
        if let Some(probed) = load(&file, &identity) {
            return Capabilities::from_probed(probed);
        }
        let capabilities = Capabilities::probe(binary, spawn)?;
        if let Some(probed) = capabilities.probed().cloned() {
            let entry = Entry {
                format: FORMAT,
                identity,
                probed,
            };
            if let Err(error) = self.store(&file, &entry) {
                let file = file.display();
                tracing::debug!(%file, %error, "cannot cache the emulator's capabilities");
            }
        }

        Ok(capabilities)
    }

    /// Returns the file of a binary. Two binaries can share a name; the identity in the file tells
    /// them apart.
    fn file(&self, binary: &Path) -> PathBuf {
        let path = binary.display().to_string();
        self.dir.join(format!(
            "{}.json",
            path.trim_start_matches('/').replace('/', "-")
        ))
    }

    /// Writes a file beside the final one and renames it, so that a reader sees all or nothing.
    fn store(&self, file: &Path, entry: &Entry) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.dir)?;
        if !is_own(&fs::metadata(&self.dir)?) {
            return Err(io::Error::other("others can write to the folder"));
        }
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        // A killed process may have left a file here, and another user may have put a link.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }

        // If the name exists again, opening fails; a link is not followed.
        let mut to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&beside)?;
        to.write_all(&serde_json::to_vec(entry)?)?;
        // The umask of the process may have added or removed permissions.
        to.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(&beside, file)
    }
}

impl Identity {
    fn read(binary: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(binary)?;
        Ok(Self {
            path: binary.into(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            modules: modules(&module_folders(binary)),
        })
    }
}

/// Returns the folders where a QEMU of this path looks for modules: `lib/qemu` or
/// `lib/ARCH/qemu`, beside the folder that the binary is in.
fn module_folders(binary: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(binary).unwrap_or_else(|_| binary.into());
    let Some(prefix) = real.parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let libraries = ["lib", "lib64"].map(|name| prefix.join(name));
    let below = libraries
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = below.map(|entry| entry.path().join("qemu")).collect();
    folders.extend(libraries.iter().map(|folder| folder.join("qemu")));
    folders
}

/// Returns all modules in some folders, sorted.
fn modules(folders: &[PathBuf]) -> Vec<Module> {
    let files = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let libraries = files.filter(|file| file.path().extension().is_some_and(|end| end == "so"));
    let mut modules: Vec<Module> = libraries
        .filter_map(|file| {
            let metadata = file.metadata().ok()?;
            Some(Module {
                path: file.path(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        })
        .collect();
    modules.sort();
    modules
}

/// Returns whether only root or this process's user can write to a file or folder.
fn is_own(metadata: &fs::Metadata) -> bool {
    let own = [0, rustix::process::geteuid().as_raw()];
    metadata.mode() & 0o022 == 0 && own.contains(&metadata.uid())
}

/// Reads the answers of a binary from its file, if the file is valid and the binary unchanged.
fn load(file: &Path, identity: &Identity) -> Option<Probed> {
    let folder = fs::metadata(file.parent()?).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = fs::File::from(rustix::fs::open(file, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !is_own(&metadata) || !is_own(&folder) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    let entry: Entry = serde_json::from_slice(&bytes).ok()?;
    (entry.format == FORMAT && entry.identity == *identity).then_some(entry.probed)
}

#[cfg(test)]
mod tests {
    use super::super::probed::Version;
    use super::*;
    use std::process::Command;

    fn probed(binary: &Path) -> Probed {
        Probed {
            binary: binary.into(),
            target: "x86_64".into(),
            version: Version {
                major: 9,
                minor: 8,
                micro: 7,
            },
            machines: ["pc".to_owned()].into(),
            types: Default::default(),
            properties: Default::default(),
        }
    }

    /// A cache that holds what a binary said; the binary itself says nothing.
    fn filled(dir: &Path) -> (Cache, PathBuf) {
        let (cache, binary) = (
            Cache {
                dir: dir.join("cache"),
            },
            dir.join("qemu"),
        );
        fs::write(&binary, "not an emulator").unwrap();
        let identity = Identity::read(&binary).unwrap();
        let entry = Entry {
            format: FORMAT,
            identity,
            probed: probed(&binary),
        };
        cache.store(&cache.file(&binary), &entry).unwrap();
        (cache, binary)
    }

    fn is_cached(cache: &Cache, binary: &Path) -> bool {
        load(&cache.file(binary), &Identity::read(binary).unwrap()).is_some()
    }

    #[test]
    fn umask_0_leaves_no_file_that_others_can_write() {
        let dir = tempfile::tempdir().unwrap();
        // The umask is shared by all threads: other tests see this value for a moment.
        let umask = rustix::process::umask(Mode::empty());
        let (cache, binary) = filled(dir.path());
        rustix::process::umask(umask);
        for path in [cache.dir.clone(), cache.file(&binary)] {
            let mode = fs::metadata(&path).unwrap().mode();
            assert_eq!(mode & 0o022, 0, "{} {mode:o}", path.display());
        }

        assert!(is_cached(&cache, &binary));
    }

    #[test]
    fn link_at_the_temporary_name_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        let file = cache.file(&binary);
        let victim = dir.path().join("victim");
        fs::write(&victim, "kept").unwrap();
        let beside = file.with_extension(format!("{}.tmp", std::process::id()));
        std::os::unix::fs::symlink(&victim, beside).unwrap();
        let identity = Identity::read(&binary).unwrap();
        cache
            .store(
                &file,
                &Entry {
                    format: FORMAT,
                    identity,
                    probed: probed(&binary),
                },
            )
            .unwrap();

        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        assert!(is_cached(&cache, &binary));
    }

    #[test]
    fn file_that_others_can_write_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        let file = cache.file(&binary);
        assert!(is_cached(&cache, &binary));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_cached(&cache, &binary));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_cached(&cache, &binary));
    }

    #[test]
    fn added_or_changed_module_changes_the_identity() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        let modules = dir.path().join("lib/x86_64-linux-gnu/qemu");
        fs::create_dir(&bin).unwrap();
        fs::create_dir_all(&modules).unwrap();
        let binary = bin.join("qemu");
        fs::write(&binary, "an emulator").unwrap();
        let none = Identity::read(&binary).unwrap();

        assert_eq!(none, Identity::read(&binary).unwrap());

        fs::write(modules.join("hw-display-qxl.so"), "1").unwrap();
        let one = Identity::read(&binary).unwrap();
        assert_ne!(none, one);

        fs::write(modules.join("hw-display-qxl.so"), "22").unwrap();
        assert_ne!(one, Identity::read(&binary).unwrap());
    }

    #[test]
    fn unchanged_binary_is_not_probed_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        assert_eq!(
            cache.probe(&binary, &Command::spawn).unwrap().version(),
            Version {
                major: 9,
                minor: 8,
                micro: 7
            }
        );

        let files: Vec<_> = fs::read_dir(&cache.dir).unwrap().collect();
        assert_eq!(files.len(), 1, "no half-written file stays");
    }

    #[test]
    fn changed_binary_and_broken_file_are_probed_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, binary) = filled(dir.path());
        fs::write(&binary, "not the same emulator").unwrap();
        assert!(matches!(
            cache.probe(&binary, &Command::spawn),
            Err(ProbeError::Start { .. })
        ));

        let (cache, binary) = filled(dir.path());
        fs::write(cache.file(&binary), "{\"format\":").unwrap();
        assert!(matches!(
            cache.probe(&binary, &Command::spawn),
            Err(ProbeError::Start { .. })
        ));
    }
}
