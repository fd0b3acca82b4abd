//! Disks of the virtual host. A boot writes to temporary overlays only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use hmac_sha256::Hash;
use passthru_lab::devices;

use super::cache::{Cache, CacheEntry};
use super::rootfs::Rootfs;

/// Revision of this file. Increase it when the file makes different disks.
const REVISION: &str = "2";

const DATA_BYTES: u64 = 64 << 20;
const CMB_BYTES: u64 = 16 << 20;
const MULTIPATH_BYTES: u64 = 16 << 20;

/// Image files of the disks.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    /// Disk for assignment, of known contents.
    pub(super) assigned: PathBuf,
    /// The virtual host's own disk: ext4.
    pub(super) data: PathBuf,
    /// Disk of the NVMe controller with a memory buffer: zeros.
    pub(super) cmb: PathBuf,
    /// Disk of two controllers of one subsystem: zeros.
    pub(super) multipath: PathBuf,
}

impl Disks {
    pub(super) fn new(entry: &CacheEntry) -> Self {
        let folder = entry.path();
        Self {
            assigned: folder.join("assigned.raw"),
            data: folder.join("data.raw"),
            cmb: folder.join("cmb.raw"),
            multipath: folder.join("multipath.raw"),
        }
    }
}

/// Returns the cache entry of the disks.
pub(super) fn entry(cache: &Cache) -> CacheEntry {
    cache.entry("disks", &[REVISION, devices::NVME_SHA256])
}

/// Makes the disks, with mke2fs of the root file system.
pub(super) fn build(entry: &CacheEntry, rootfs: &Rootfs) -> Result<()> {
    entry.make(|folder| {
        let contents = devices::nvme_contents();
        let sum: String = Hash::hash(&contents)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        ensure!(
            sum == devices::NVME_SHA256,
            "the generator of the disk's contents changed: {sum}"
        );
        fs::write(folder.join("assigned.raw"), contents)?;
        zeros(&folder.join("cmb.raw"), CMB_BYTES)?;
        zeros(&folder.join("multipath.raw"), MULTIPATH_BYTES)?;
        let data = folder.join("data.raw");
        zeros(&data, DATA_BYTES)?;
        let made = rootfs
            .program("usr/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", "data"])
            .arg(&data)
            .output()?;
        ensure!(
            made.status.success(),
            "mke2fs: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        Ok(())
    })
}

fn zeros(path: &Path, bytes: u64) -> Result<()> {
    Ok(File::create(path)?.set_len(bytes)?)
}
