//! The initrds of the virtual host and of the small guest, made for each boot from scripts in
//! `lab/`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::cpio::Cpio;
use super::rootfs::Rootfs;
use crate::cargo;

/// Writes a gzipped initrd of a static busybox, with a script of `lab/` as /init.
pub(super) fn write(rootfs: &Rootfs, script: &str, to: &Path) -> Result<()> {
    let busybox = read(&rootfs.path.join("usr/bin/busybox"))?;
    let init = read(&cargo::root().join("lab").join(script))?;
    // The kernel's targets warn without etc/target.
    let folders = ["bin", "dev", "etc", "etc/target", "proc", "sys", "tmp"];
    let archive = folders.into_iter().fold(Cpio::default(), Cpio::folder);
    let archive = archive
        .program("bin/busybox", &busybox)
        .program("init", &init)
        .finish();
    gzip(&archive, to)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}", path.display()))
}

fn gzip(bytes: &[u8], to: &Path) -> Result<()> {
    let output = fs::File::create(to)?;
    let mut gzip = Command::new("gzip")
        .args(["-1", "-n"])
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()?;
    if let Some(mut input) = gzip.stdin.take() {
        input.write_all(bytes)?;
    }
    ensure!(
        gzip.wait()?.success(),
        "gzip failed to write {}",
        to.display()
    );
    Ok(())
}
