//! Debian packages that a setup needs on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::child::watched;

/// Packages that make the root file system.
const FOR_ROOTFS: &[&str] = &["debian-archive-keyring", "debootstrap", "util-linux"];

/// Packages that build the kernel.
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

/// Lists the packages that are not installed.
pub(super) fn missing(kernel: bool) -> Vec<&'static str> {
    let needed = FOR_ROOTFS
        .iter()
        .chain(if kernel { FOR_KERNEL } else { &[] });
    needed
        .copied()
        .filter(|package| !is_installed(package))
        .collect()
}

/// Returns the command that installs packages.
pub(super) fn install_command(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages, as root.
pub(super) fn install(packages: &[&str], log: &Path, mut watch: impl FnMut(&str)) -> Result<()> {
    watched(&mut apt_get(&["update"]), log, &mut watch)?;
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    watched(install.args(packages), log, &mut watch)?;
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !is_installed(package))
        .collect();
    if !missing.is_empty() {
        bail!("still missing after the installation: {missing:?}");
    }
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // A machine that has just booted may run apt by itself.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    command
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
