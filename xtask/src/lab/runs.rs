//! Runs of the virtual host: a folder each, whose logs are kept.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::cache::Cache;

/// Number of runs whose logs are kept.
const KEPT: usize = 20;

/// The folder of a run. Drop removes everything but the logs.
pub(super) struct Run {
    path: PathBuf,
}

impl Run {
    /// Makes the folder of a new run, and removes the oldest runs that have ended.
    pub(super) fn begin(cache: &Cache) -> Result<Self> {
        let runs = cache.folder("runs")?;
        prune(&runs)?;
        let millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let path = runs.join(format!("{millis}-{}", process::id()));
        fs::create_dir(&path)?;
        fs::create_dir_all(path.join("job/guest"))?;
        fs::create_dir(path.join("tmp"))?;
        Ok(Self { path })
    }

    pub(super) fn kernel_log(&self) -> PathBuf {
        self.path.join("kernel.log")
    }

    pub(super) fn qemu_log(&self) -> PathBuf {
        self.path.join("qemu.log")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.path.join("tmp/initrd.gz")
    }

    /// Returns the folder for QEMU's temporary overlays.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// Returns the folder for init's settings and the guest's files.
    pub(super) fn job(&self) -> PathBuf {
        self.path.join("job")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.job());
        let _ = fs::remove_dir_all(self.temporary());
    }
}

fn prune(runs: &Path) -> Result<()> {
    let mut over: Vec<_> = fs::read_dir(runs)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|run| is_over(run))
        .collect();
    over.sort();
    for run in &over[..over.len().saturating_sub(KEPT)] {
        // Another boot may remove the same folder at this moment.
        let _ = fs::remove_dir_all(run);
    }

    Ok(())
}

/// Returns whether the process in the name of a run's folder has ended.
fn is_over(run: &Path) -> bool {
    let name = run.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let process = name.split_once('-').map(|(_, process)| process);
    process.is_some_and(|process| !Path::new("/proc").join(process).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_runs_are_removed_and_a_running_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let running = folder.path().join(format!("000-{}", process::id()));
        fs::create_dir(&running).unwrap();
        for run in 0..KEPT + 3 {
            fs::create_dir(folder.path().join(format!("1{run:02}-4194999"))).unwrap();
        }
        prune(folder.path()).unwrap();

        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
        assert!(running.exists() && !folder.path().join("102-4194999").exists());
    }
}
