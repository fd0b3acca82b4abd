//! Debian packages that a setup needs on the machine itself.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::child::watched;

/// What the root file system is made with.
const FOR_ROOTFS: &[&str] = &["debian-archive-keyring", "debootstrap", "util-linux"];

/// What the kernel is built with.
const FOR_KERNEL: &[&str] = &[
    "bc",
    "bison",
    "flex",
    "gcc",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "make",
    "patch",
    "perl",
    "tar",
    "xz-utils",
];

/// The packages that are missing on this machine.
pub(super) fn missing(kernel: bool) -> Vec<&'static str> {
    let needed = FOR_ROOTFS
        .iter()
        .chain(if kernel { FOR_KERNEL } else { &[] });
    needed
        .copied()
        .filter(|package| !is_installed(package))
        .collect()
}

/// The command that installs packages.
pub(super) fn install_command(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages; needs root.
pub(super) fn install(packages: &[&str], log: &Path, mut watch: impl FnMut(&str)) -> Result<()> {
    let mut apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // On a machine that has just booted, apt may be busy with itself.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .args(arguments);
        watched(&mut command, log, &mut watch)
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())?;
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !is_installed(package))
        .collect();
    if !missing.is_empty() {
        bail!("still missing after the installation: {missing:?}");
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query
        .args(["--show", "--showformat", "${db:Status-Status}", package])
        .stderr(Stdio::null());
    query
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}
