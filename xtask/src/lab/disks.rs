//! The virtual host's disks, as every boot finds them: boots write to temporary overlays only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use hmac_sha256::Hash;
use passthru_lab::devices;

use super::cache::{Cache, Piece};
use super::rootfs::Rootfs;

/// Goes up when this file makes other disks.
const REVISION: &str = "2";

const DATA_BYTES: u64 = 64 << 20;
const CMB_BYTES: u64 = 16 << 20;
const MULTIPATH_BYTES: u64 = 16 << 20;

/// The disks' image files.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    /// For assignment, contents known.
    pub(super) assigned: PathBuf,
    /// The virtual host's own: ext4.
    pub(super) data: PathBuf,
    /// Of the NVMe with a controller memory buffer: zeros.
    pub(super) cmb: PathBuf,
    /// Of the two controllers of one subsystem: zeros.
    pub(super) multipath: PathBuf,
}

impl Disks {
    pub(super) fn new(piece: &Piece) -> Self {
        let file = |name| piece.path().join(name);
        Self {
            assigned: file("assigned.raw"),
            data: file("data.raw"),
            cmb: file("cmb.raw"),
            multipath: file("multipath.raw"),
        }
    }
}

pub(super) fn piece(cache: &Cache) -> Piece {
    cache.piece("disks", &[REVISION, devices::NVME_SHA256])
}

/// Makes the disks, with the root file system's mke2fs.
pub(super) fn build(piece: &Piece, rootfs: &Rootfs) -> Result<()> {
    piece.make(|folder| {
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
