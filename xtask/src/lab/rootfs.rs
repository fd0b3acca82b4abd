//! The virtual host's root file system: a minimal Debian with QEMU from backports.
//!
//! The outer QEMU runs from it too, with its own loader. The machine thus needs no QEMU, and
//! running the lab needs no root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::arch::Arch;
use super::archive::{self, Mirrors, SUITE};
use super::cache::{Cache, CacheEntry};
use super::child::{contained, dying_with_us, watched};
use super::progress::Step;

/// Revision of this file. Increase it when the file makes a different root file system from the
/// same inputs.
const REVISION: &str = "2";

/// Version of QEMU that the lab is made for. An older one causes a warning.
const QEMU_WANTED: (u32, u32) = (11, 1);

/// Packages of QEMU's source, besides the emulator of the virtual host's architecture.
const QEMU_PACKAGES: &[&str] = &[
    "qemu-system-arm",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-system-modules-spice",
    "qemu-system-s390x",
    "qemu-utils",
];

/// Packages besides QEMU and the firmware of the virtual host's architecture.
const PACKAGES: &[&str] = &[
    "btrfs-progs",
    "busybox-static",
    "ca-certificates",
    "dmidecode",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libcap2-bin",
    "lvm2",
    "mdadm",
    "nfs-kernel-server",
    "nvme-cli",
    "open-iscsi",
    "openvswitch-switch",
    "passt",
    "pciutils",
    "procps",
    "qemu-efi-aarch64",
    "socat",
    "strace",
    "swtpm",
    "swtpm-tools",
    "util-linux",
    "virtiofsd",
    "wireguard-tools",
];

/// Folders that the virtual host does not need.
const DROPPED: &[&str] = &[
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/lib/apt/lists",
    "var/cache/apt",
];

/// Returns the cache entry of a root file system with a version of QEMU.
pub(super) fn entry(cache: &Cache, arch: Arch, qemu: &str) -> CacheEntry {
    let mut inputs = vec![REVISION, SUITE, arch.name(), arch.qemu_package(), qemu];
    inputs.extend(
        arch.firmware_packages()
            .iter()
            .chain(QEMU_PACKAGES)
            .chain(PACKAGES),
    );
    cache.entry("rootfs", &inputs)
}

/// Makes the root file system, as root.
pub(super) fn build(
    entry: &CacheEntry,
    arch: Arch,
    qemu: &str,
    log: &Path,
    step: &mut Step,
) -> Result<()> {
    let mirrors = Mirrors::for_machine()?;
    entry.make(|root| {
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        step.detail("debootstrap");
        let mut debootstrap = contained();
        debootstrap
            .args(["debootstrap", "--variant=minbase"])
            .arg(format!("--arch={}", arch.debian()));
        debootstrap.arg(SUITE).arg(root).arg(&mirrors.main);
        watched(&mut debootstrap, log, |line| {
            step.detail(line.trim_start_matches("I: "));
        })?;
        prepare(root, &mirrors)?;
        install(root, arch, qemu, log, step).with_context(|| {
            format!(
                "{} {qemu} can't be installed; `lab setup --update` takes the newest",
                arch.qemu_package()
            )
        })?;
        tidy(root)?;
        dig_holes(root, log)
    })
}

/// Frees the zeros at the end of the firmware images for aarch64: hundreds of MiB.
fn dig_holes(root: &Path, log: &Path) -> Result<()> {
    for entry in fs::read_dir(root.join("usr/share/AAVMF"))? {
        let image = entry?;
        // A link could lead out of the root file system.
        if image.file_type()?.is_file() {
            watched(
                dying_with_us("fallocate")
                    .arg("--dig-holes")
                    .arg(image.path()),
                log,
                |_| (),
            )?;
        }
    }

    Ok(())
}

/// Gives the new root this machine's access to the archive, and keeps services from starting.
fn prepare(root: &Path, mirrors: &Mirrors) -> Result<()> {
    let policy = root.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("etc/apt/sources.list"), mirrors.sources_list())?;
    fs::write(
        root.join("etc/apt/apt.conf.d/99machine"),
        archive::access_settings()?,
    )?;
    for file in ACCESS_FILES {
        copy_if_there(&Path::new("/").join(file), &root.join(file))?;
    }
    Ok(())
}

/// Files by which the machine reaches the archive: credentials, certificates, name resolution.
const ACCESS_FILES: &[&str] = &[
    "etc/apt/auth.conf",
    "etc/apt/auth.conf.d",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/resolv.conf",
    "etc/hosts",
];

fn copy_if_there(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_if_there(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if from.exists() {
        to.parent().map(fs::create_dir_all).transpose()?;
        fs::copy(from, to).with_context(|| format!("{}", from.display()))?;
    }

    Ok(())
}

fn install(root: &Path, arch: Arch, qemu: &str, log: &Path, step: &mut Step) -> Result<()> {
    step.detail("fetching package lists");
    let mut update = apt_get_in(root);
    watched(update.args(["update", "--error-on=any"]), log, |_| ())?;
    let backports = format!("--target-release={SUITE}-backports");
    let mut arguments: Vec<String> = ["install", "--yes", "--no-install-recommends", &backports]
        .map(Into::into)
        .into();
    let of_qemu = [arch.qemu_package()]
        .into_iter()
        .chain(QEMU_PACKAGES.iter().copied());
    arguments.extend(of_qemu.map(|package| format!("{package}={qemu}")));
    arguments.extend(
        PACKAGES
            .iter()
            .chain(arch.firmware_packages())
            .map(|&package| package.to_owned()),
    );
    let mut install = apt_get_in(root);
    watched(install.args(&arguments), log, |line| count(line, step))
}

/// Returns apt-get inside a root file system.
fn apt_get_in(root: &Path) -> Command {
    let mut command = contained();
    command
        .arg("--root")
        .arg(root)
        .args(["--mount-proc=/proc", "apt-get"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Counts each package twice: when unpacked and when set up.
fn count(line: &str, step: &mut Step) {
    if let Some((_, rest)) = line.split_once(" upgraded, ") {
        let new = rest
            .split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        step.expect(2 * new.unwrap_or_default());
    } else if line.starts_with("Unpacking ") || line.starts_with("Setting up ") {
        step.advance();
        step.detail(line);
    }
}

/// Removes unneeded folders and the machine's own files.
fn tidy(root: &Path) -> Result<()> {
    for folder in DROPPED {
        fs::remove_dir_all(root.join(folder)).with_context(|| format!("/{folder}"))?;
    }
    for file in [
        "etc/apt/auth.conf",
        "etc/apt/apt.conf.d/99machine",
        "etc/resolv.conf",
        "etc/hostname",
        "etc/hosts",
    ] {
        let path = root.join(file);
        if path.exists() {
            fs::remove_file(path)?;
        }
    }

    let credentials = root.join("etc/apt/auth.conf.d");
    fs::remove_dir_all(&credentials)?;
    fs::create_dir(&credentials)?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost virtual-host\n")?;
    Ok(())
}

/// A complete root file system.
#[derive(Debug, Clone)]
pub(super) struct Rootfs {
    pub(super) path: PathBuf,
    arch: Arch,
}

impl Rootfs {
    pub(super) fn new(entry: &CacheEntry, arch: Arch) -> Self {
        Self {
            path: entry.path().to_owned(),
            arch,
        }
    }

    /// Returns a command that runs one of its programs on this machine, with its own loader and
    /// libraries.
    pub(super) fn program(&self, path: &str) -> Command {
        let libraries = self.path.join("usr/lib").join(self.arch.triplet());
        let mut command = dying_with_us(self.path.join(self.arch.loader()));
        command
            .arg("--inhibit-cache")
            .arg("--library-path")
            .arg(&libraries)
            .arg(self.path.join(path));
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command
    }

    /// Returns QEMU, with the path of its firmware.
    pub(super) fn qemu(&self) -> Command {
        let mut command = self.program(self.arch.qemu());
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.path.join(firmware));
        }
        command
    }

    /// Returns a warning if QEMU is older than [`QEMU_WANTED`].
    pub(super) fn complaint(&self) -> Result<Option<String>> {
        let output = self.qemu().arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version =
            version(&text).with_context(|| format!("cannot find QEMU's version in {text:?}"))?;
        if version >= QEMU_WANTED {
            return Ok(None);
        }
        let (major, minor) = version;
        let (wanted_major, wanted_minor) = QEMU_WANTED;
        Ok(Some(format!(
            "QEMU is {major}.{minor}; the lab wants {wanted_major}.{wanted_minor} or newer"
        )))
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .strip_prefix("QEMU emulator version ")?
        .split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_as_numbers() {
        assert_eq!(
            version("QEMU emulator version 11.1.3 (Debian 1:11.1.3)\n"),
            Some((11, 1))
        );
        assert!(version("QEMU emulator version 9.2.0") < Some(QEMU_WANTED));
        assert_eq!(version("sh: not found"), None);
    }
}
