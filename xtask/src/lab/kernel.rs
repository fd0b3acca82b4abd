//! The virtual host's kernel: built from Debian's source package with the configuration in `lab/kernel`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::arch::Arch;
use super::archive::Archive;
use super::cache::{Cache, Piece};
use super::child::{dying_with_us, watched};
use super::progress::Step;
use crate::cargo;

/// Debian's package with the kernel's source.
pub(super) const SOURCE: &str = "linux-source-7.2";

/// Goes up when this file builds another kernel from the same inputs.
const REVISION: &str = "1";

/// Programs that a build calls, about: the bar's length.
const BUILD_STEPS: u64 = 2800;

/// The kernel of this tree's configuration, from a version of the source package.
pub(super) fn piece(cache: &Cache, arch: Arch, version: &str) -> Result<Piece> {
    Ok(cache.piece("kernel", &[REVISION, arch.name(), version, &configuration(arch)?]))
}

/// The bootable image in a whole piece.
pub(super) fn image(piece: &Piece) -> PathBuf {
    piece.path().join("vmlinuz")
}

/// Builds the kernel; goes on where an interrupted build of the same inputs stopped.
pub(super) fn build(
    piece: &Piece,
    cache: &Cache,
    arch: Arch,
    version: &str,
    log: &Path,
    step: &mut Step,
) -> Result<()> {
    let work = piece.work()?;
    let tree = work.join("tree");
    if !tree.exists() {
        step.detail("fetching the source");
        unpack(&Archive::update(cache, arch)?, version, &work, log).with_context(gone(version))?;
    }
    step.detail("configuring");
    configure(&tree, arch, log)?;
    let (target, image) = arch.kernel_image();
    step.expect(BUILD_STEPS);
    watched(make(&tree).arg(format!("-j{}", processors())).arg(target), log, |line| {
        if line.starts_with("  ") {
            step.advance();
            step.detail(line);
        }
    })?;
    piece.make(|partial| {
        fs::copy(tree.join(image), partial.join("vmlinuz"))?;
        fs::copy(tree.join(".config"), partial.join("config"))?;
        fs::copy(tree.join("System.map"), partial.join("System.map"))?;
        Ok(())
    })
}

fn gone(version: &str) -> impl Fn() -> String {
    move || {
        format!(
            "{SOURCE} {version} can't be fetched; if the archive has another one by now, take that with \
             `cargo xtask lab setup --update`, or give a kernel of your own with --kernel FILE"
        )
    }
}

/// Leaves the source in `work/tree`, which exists only once it is whole.
fn unpack(archive: &Archive, version: &str, work: &Path, log: &Path) -> Result<()> {
    let package = archive.download(SOURCE, version, work)?;
    let unpacked = work.join("unpacked");
    fs::remove_dir_all(&unpacked).or_else(|error| if unpacked.exists() { Err(error) } else { Ok(()) })?;
    fs::create_dir(&unpacked)?;
    watched(dying_with_us("dpkg-deb").arg("--extract").args([&package, &unpacked]), log, |_| ())?;
    let tarball = unpacked.join(format!("usr/src/{SOURCE}.tar.xz"));
    watched(dying_with_us("tar").arg("-C").arg(&unpacked).arg("-xJf").arg(&tarball), log, |_| ())?;
    fs::rename(unpacked.join(SOURCE), work.join("tree"))?;
    fs::remove_dir_all(&unpacked)?;
    fs::remove_file(&package)?;
    Ok(())
}

/// Merges the configuration over tinyconfig, unless the tree has that already, and checks that all of it holds.
fn configure(tree: &Path, arch: Arch, log: &Path) -> Result<()> {
    let config = tree.join(".config");
    let wanted = configuration(arch)?;
    if fs::read_to_string(&config).is_ok_and(|config| dropped(&wanted, &config).is_empty()) {
        return Ok(());
    }
    let fragment = tree.join("passthru.config");
    fs::write(&fragment, &wanted)?;
    watched(make(tree).arg("tinyconfig"), log, |_| ())?;
    let mut merge = dying_with_us("scripts/kconfig/merge_config.sh");
    watched(merge.args(["-m", ".config"]).arg(&fragment).current_dir(tree), log, |_| ())?;
    watched(make(tree).arg("olddefconfig"), log, |_| ())?;
    let dropped = dropped(&wanted, &fs::read_to_string(&config)?);
    ensure!(dropped.is_empty(), "the kernel's configuration does not hold {}", dropped.join(", "));
    File::open(config)?.sync_all()?;
    Ok(())
}

/// The lines asked for that a finished configuration does not hold.
fn dropped<'a>(wanted: &'a str, config: &str) -> Vec<&'a str> {
    let holds = |line: &str| match line.strip_suffix("=n") {
        Some(symbol) => {
            !config.lines().any(|set| set.strip_prefix(symbol).is_some_and(|rest| rest.starts_with('=')))
        }
        None => config.lines().any(|set| set == line),
    };
    let asked = wanted.lines().filter(|line| line.starts_with("CONFIG_"));
    asked.filter(|line| !holds(line)).collect()
}

fn configuration(arch: Arch) -> Result<String> {
    let path = cargo::root().join(format!("lab/kernel/{}.config", arch.name()));
    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

fn make(tree: &Path) -> Command {
    let mut command = dying_with_us("make");
    command.current_dir(tree).env("KBUILD_BUILD_USER", "lab").env("KBUILD_BUILD_HOST", "passthru");
    command
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_that_kconfig_dropped_is_named() {
        let wanted = "# why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=n\n";
        let config = "CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_C is not set\nCONFIG_D=y\nCONFIG_DE=y\n";
        assert_eq!(dropped(wanted, config), ["CONFIG_B=y", "CONFIG_D=n"]);
    }
}
