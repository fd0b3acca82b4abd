//! `cargo xtask lab setup`: makes the missing parts of the virtual host.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::geteuid;

use super::arch::Arch;
use super::archive::Archive;
use super::args::MachineArgs;
use super::cache::{Cache, CacheEntry, Lock};
use super::disks::{self, Disks};
use super::kernel::{self, Linux, Source};
use super::packages;
use super::pins::Pins;
use super::progress::Progress;
use super::rootfs::{self, Rootfs};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Architecture of the virtual host
    #[arg(long, default_value = "x86_64", value_parser = Arch::parse)]
    arch: Arch,
    /// Series of Linux to build
    #[arg(long, default_value = "7.3", conflicts_with = "kernel")]
    linux: Linux,
    /// Use this kernel instead of building one
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Look for newer versions of the kernel's source and of QEMU
    #[arg(long)]
    update: bool,
    /// Remove what this tree's lab does not use any more
    #[arg(long)]
    clean: bool,
}

/// A virtual host that can be booted.
pub(super) struct Lab {
    pub(super) cache: Cache,
    pub(super) kernel: PathBuf,
    pub(super) rootfs: Rootfs,
    pub(super) disks: Disks,
    _lock: Lock,
}

impl Lab {
    /// Returns the virtual host, set up first if parts are missing.
    pub(super) fn ready(args: &MachineArgs) -> Result<Self> {
        let kernel = args.kernel.as_ref().map(|path| {
            path.canonicalize()
                .with_context(|| format!("{}", path.display()))
        });
        let kernel = kernel.transpose()?;
        let cache = Cache::open()?;
        let lock = cache.lock_for_use()?;
        let linux = kernel.is_none().then_some(args.linux);
        let recorded = LabEntries::recorded(&cache, args.arch, linux)?;
        let entries = match recorded.filter(LabEntries::are_complete) {
            Some(entries) => entries,
            None => set_up(&cache, args.arch, linux, false)?,
        };
        let kernel = kernel
            .or_else(|| entries.kernel.as_ref().map(kernel::image))
            .context("no kernel")?;
        let rootfs = Rootfs::new(&entries.rootfs, args.arch);
        Ok(Self {
            cache,
            kernel,
            rootfs,
            disks: Disks::new(&entries.disks),
            _lock: lock,
        })
    }
}

pub(super) fn run(args: &Args) -> Result<u8> {
    if let Some(kernel) = &args.kernel {
        ensure!(kernel.is_file(), "{}: no such kernel", kernel.display());
    }
    let cache = Cache::open()?;
    let linux = args.kernel.is_none().then_some(args.linux);
    let entries = set_up(&cache, args.arch, linux, args.update)?;
    for entry in entries.all() {
        eprintln!("{}", entry.path().display());
    }
    if let Some(complaint) = Rootfs::new(&entries.rootfs, args.arch).complaint()? {
        eprintln!("warning: {complaint}");
    }
    clean(&cache, args.arch, &entries, args.clean)?;
    Ok(0)
}

fn clean(cache: &Cache, arch: Arch, entries: &LabEntries, remove: bool) -> Result<()> {
    let _lock = cache.lock_for_setup()?; // an entry that another setup makes is not stale
    // The kernels of other series that were built here stay.
    let mut kept = entries.all();
    for &linux in Linux::value_variants() {
        kept.extend(
            LabEntries::recorded(cache, arch, Some(linux))?
                .iter()
                .flat_map(LabEntries::all),
        );
    }

    let stale = cache.stale(&kept)?;
    for path in &stale {
        let state = if remove {
            "removing"
        } else {
            "not used by this tree"
        };
        eprintln!("{state}: {}", path.display());
    }

    if remove {
        cache.remove(&stale)?;
    } else if !stale.is_empty() {
        eprintln!("`cargo xtask lab setup --clean` removes these");
    }

    Ok(())
}

/// Cache entries of a virtual host.
struct LabEntries {
    /// `None` with a kernel of the user's own.
    kernel: Option<CacheEntry>,
    rootfs: CacheEntry,
    disks: CacheEntry,
}

impl LabEntries {
    /// Returns the entries of the recorded versions, or `None` if a version is not recorded.
    fn recorded(cache: &Cache, arch: Arch, linux: Option<Linux>) -> Result<Option<Self>> {
        let pins = Pins::read(cache)?;
        let Some(qemu) = pins.get(arch.qemu_package()) else {
            return Ok(None);
        };
        let kernel = match linux {
            Some(linux) => {
                let Some(version) = pins.get(linux.package()) else {
                    return Ok(None);
                };
                Some(kernel::entry(cache, arch, Source { linux, version })?)
            }
            None => None,
        };
        Ok(Some(Self {
            kernel,
            rootfs: rootfs::entry(cache, arch, qemu),
            disks: disks::entry(cache),
        }))
    }

    fn all(&self) -> Vec<CacheEntry> {
        self.kernel
            .iter()
            .chain([&self.rootfs, &self.disks])
            .cloned()
            .collect()
    }

    fn are_complete(&self) -> bool {
        self.all().iter().all(CacheEntry::is_complete)
    }
}

/// Makes the missing entries; without a series, no kernel.
fn set_up(cache: &Cache, arch: Arch, linux: Option<Linux>, update: bool) -> Result<LabEntries> {
    let _lock = cache.lock_for_setup()?;
    let logs = cache.folder("logs")?;
    let mut progress = Progress::new(5);
    install_packages(cache, linux.is_some(), &mut progress)?;

    let step = progress.step("package versions");
    let pins = versions(cache, arch, linux, update)?;
    step.done();
    let entries = LabEntries::recorded(cache, arch, linux)?.context("no versions are recorded")?;

    let mut step = progress.step("root file system");
    if !entries.rootfs.is_complete() {
        ensure!(
            geteuid().is_root(),
            "the root file system is made as root: {}",
            as_root(cache, arch, linux)?
        );
        let qemu = pins.get(arch.qemu_package()).context("QEMU's version")?;
        rootfs::build(
            &entries.rootfs,
            arch,
            qemu,
            &logs.join("rootfs.log"),
            &mut step,
        )?;
    }

    step.done();

    let step = progress.step("disks");
    if !entries.disks.is_complete() {
        disks::build(&entries.disks, &Rootfs::new(&entries.rootfs, arch))?;
    }
    step.done();

    let mut step = progress.step("kernel");
    if let (Some(kernel), Some(linux)) = (&entries.kernel, linux)
        && !kernel.is_complete()
    {
        let version = pins.get(linux.package()).context("the kernel's version")?;
        kernel::build(
            kernel,
            cache,
            arch,
            Source { linux, version },
            &logs.join("kernel.log"),
            &mut step,
        )?;
    }

    step.done();
    Ok(entries)
}

fn install_packages(cache: &Cache, with_kernel: bool, progress: &mut Progress) -> Result<()> {
    let step = progress.step("packages on this machine");
    let missing = packages::missing(with_kernel);
    if !missing.is_empty() {
        let command = packages::install_command(&missing);
        ensure!(
            geteuid().is_root(),
            "packages are missing on this machine: sudo {command}"
        );
        packages::install(
            &missing,
            &cache.folder("logs")?.join("packages.log"),
            |line| step.detail(line),
        )?;
    }

    step.done();
    Ok(())
}

/// Looks up and records the versions that are not recorded, or all with `update`.
fn versions(cache: &Cache, arch: Arch, linux: Option<Linux>, update: bool) -> Result<Pins> {
    let mut pins = Pins::read(cache)?;
    let source = linux.map(Linux::package);
    let wanted = [Some(arch.qemu_package()), source];
    let unknown: Vec<_> = wanted
        .into_iter()
        .flatten()
        .filter(|package| update || pins.get(package).is_none())
        .collect();
    if unknown.is_empty() {
        return Ok(pins);
    }
    let archive = Archive::update(cache, arch)?;
    for package in unknown {
        match archive.newest(package)? {
            Some(version) => pins.set(package, &version)?,
            None => bail!(
                "{package} is not in the archive's trixie and trixie-backports any more{}",
                if source == Some(package) {
                    "; give a kernel of your own with --kernel FILE (its configuration: lab/kernel)"
                } else {
                    ""
                }
            ),
        }
    }

    Ok(pins)
}

/// Returns the command that makes the same lab as root.
fn as_root(cache: &Cache, arch: Arch, linux: Option<Linux>) -> Result<String> {
    let program = env::current_exe()?;
    let cache = cache.root().display();
    let arch = arch.name();
    let series = linux.map_or(String::new(), |linux| {
        format!(" --linux {}", linux.series())
    });
    Ok(format!(
        "sudo PASSTHRU_LAB={cache} {} lab setup --arch {arch}{series}",
        program.display()
    ))
}
