//! The virtual host's kernel, built from Debian's source with the configuration and patches in
//! `lab/kernel`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::arch::Arch;
use super::archive::Archive;
use super::cache::{Cache, CacheEntry};
use super::child::{dying_with_us, watched};
use super::progress::Step;
use crate::cargo;

/// A series of Linux that the lab's configuration supports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Linux {
    #[value(name = "7.2")]
    V7_2,
    #[default]
    #[value(name = "7.3")]
    V7_3,
}

impl Linux {
    /// Returns the Debian package of the source.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::V7_2 => "linux-source-7.2",
            Self::V7_3 => "linux-source-7.3",
        }
    }

    /// Returns the series, such as `7.3`.
    pub(super) fn series(self) -> &'static str {
        self.package().trim_start_matches("linux-source-")
    }
}

/// Exact source of a kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) linux: Linux,
    /// Version of the package.
    pub(super) version: &'a str,
}

/// Revision of this file. Increase it when the file builds a different kernel from the same inputs.
const REVISION: &str = "2";

/// Approximate number of commands of a build: the length of the progress bar.
const BUILD_STEPS: u64 = 3400;

/// Returns the cache entry of a source with this tree's configuration and patches.
pub(super) fn entry(cache: &Cache, arch: Arch, source: Source) -> Result<CacheEntry> {
    let configuration = configuration(arch)?;
    let patches = patches()?;
    let mut inputs = vec![REVISION, arch.name(), source.version, &configuration];
    inputs.extend(patches.iter().map(|patch| patch.text.as_str()));
    Ok(cache.entry("kernel", &inputs))
}

/// Returns the bootable image of a complete entry.
pub(super) fn image(entry: &CacheEntry) -> PathBuf {
    entry.path().join("vmlinuz")
}

/// Builds the kernel. Continues an interrupted build of the same inputs.
pub(super) fn build(
    entry: &CacheEntry,
    cache: &Cache,
    arch: Arch,
    source: Source,
    log: &Path,
    step: &mut Step,
) -> Result<()> {
    let work = entry.work()?;
    let tree = work.join("tree");
    if !tree.exists() {
        step.detail("fetching the source");
        let unpacked = fetch(&Archive::update(cache, arch)?, source, &work, log)
            .with_context(|| describe_lost_source(source))?;
        for patch in patches()? {
            step.detail(&format!("applying {}", patch.path.display()));
            apply(&patch, &unpacked, log)?;
        }
        fs::rename(&unpacked, &tree)?;
    }

    step.detail("configuring");
    configure(&tree, arch, log)?;
    let (target, image) = arch.kernel_image();
    step.expect(BUILD_STEPS);
    watched(
        make(&tree).arg(format!("-j{}", processors())).arg(target),
        log,
        |line| {
            if line.starts_with("  ") {
                step.advance();
                step.detail(line);
            }
        },
    )?;
    entry.make(|partial| {
        fs::copy(tree.join(image), partial.join("vmlinuz"))?;
        fs::copy(tree.join(".config"), partial.join("config"))?;
        fs::copy(tree.join("System.map"), partial.join("System.map"))?;
        Ok(())
    })
}

fn describe_lost_source(source: Source) -> String {
    format!(
        "{} {} can't be fetched; if the archive has another version by now, take that with \
         `cargo xtask lab setup --update`, or give a kernel of your own with --kernel FILE",
        source.linux.package(),
        source.version
    )
}

/// Unpacks the source into a folder of `work`, and returns that folder.
fn fetch(archive: &Archive, source: Source, work: &Path, log: &Path) -> Result<PathBuf> {
    let name = source.linux.package();
    let package = archive.download(name, source.version, work)?;
    let unpacked = work.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir(&unpacked)?;
    watched(
        dying_with_us("dpkg-deb")
            .arg("--extract")
            .args([&package, &unpacked]),
        log,
        |_| (),
    )?;
    let tarball = unpacked.join(format!("usr/src/{name}.tar.xz"));
    watched(
        dying_with_us("tar")
            .arg("-C")
            .arg(&unpacked)
            .arg("-xJf")
            .arg(&tarball),
        log,
        |_| (),
    )?;
    fs::remove_file(&tarball)?;
    fs::remove_file(&package)?;
    Ok(unpacked.join(name))
}

/// A patch of the kernel's source: `lab/kernel/*.patch`.
struct Patch {
    path: PathBuf,
    text: String,
}

/// Reads the patches, in the order of their names.
fn patches() -> Result<Vec<Patch>> {
    let folder = cargo::root().join("lab/kernel");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "patch")
    });
    paths.sort();
    let mut patches = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        patches.push(Patch { path, text });
    }

    Ok(patches)
}

fn apply(patch: &Patch, tree: &Path, log: &Path) -> Result<()> {
    let mut command = dying_with_us("patch");
    command
        .args(["--batch", "--forward", "--strip=1", "--input"])
        .arg(&patch.path)
        .current_dir(tree);
    watched(&mut command, log, |_| ())
}

/// Merges the configuration over tinyconfig, unless the tree has it already, and checks the result.
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
    watched(
        merge
            .args(["-m", ".config"])
            .arg(&fragment)
            .current_dir(tree),
        log,
        |_| (),
    )?;
    watched(make(tree).arg("olddefconfig"), log, |_| ())?;
    let dropped = dropped(&wanted, &fs::read_to_string(&config)?);
    ensure!(
        dropped.is_empty(),
        "the kernel's configuration does not hold {}",
        dropped.join(", ")
    );
    File::open(config)?.sync_all()?;
    Ok(())
}

/// Returns the requested lines that a finished configuration does not hold.
fn dropped<'a>(wanted: &'a str, config: &str) -> Vec<&'a str> {
    let requested = wanted.lines().filter(|line| line.starts_with("CONFIG_"));
    requested.filter(|line| !holds(config, line)).collect()
}

/// Returns whether a finished configuration holds a requested line. `=n` means that the symbol is
/// not set.
fn holds(config: &str, line: &str) -> bool {
    let Some(symbol) = line.strip_suffix("=n") else {
        return config.lines().any(|set| set == line);
    };
    let start = format!("{symbol}=");
    !config.lines().any(|set| set.starts_with(&start))
}

fn configuration(arch: Arch) -> Result<String> {
    let path = cargo::root().join(format!("lab/kernel/{}.config", arch.name()));
    fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

fn make(tree: &Path) -> Command {
    let mut command = dying_with_us("make");
    command
        .current_dir(tree)
        .env("KBUILD_BUILD_USER", "lab")
        .env("KBUILD_BUILD_HOST", "passthru");
    command
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_dropped_by_kconfig_is_named() {
        let wanted = "# why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=n\n";
        let config =
            "CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_C is not set\nCONFIG_D=y\nCONFIG_DE=y\n";
        assert_eq!(dropped(wanted, config), ["CONFIG_B=y", "CONFIG_D=n"]);
    }
}
