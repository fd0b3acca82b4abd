//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, on the installed toolchain.
//!
//! The flags show libFuzzer the code that an input reaches, as those of `cargo fuzz` do. The
//! address sanitizer is left out: it needs a nightly toolchain, and finds nothing in code without
//! unsafe.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::{Workspace, cargo, root, succeed};

/// Fuzz targets: files in `fuzz/fuzz_targets`.
const TARGETS: [&str; 2] = ["convert", "format"];

/// Folders of seeds.
const SEEDS: [&str; 4] = [
    "fuzz/seeds",
    "crates/qemu/tests/data",
    "crates/domain/tests/data",
    "examples",
];

/// Target triple of the builds. Naming it keeps build scripts free of instrumentation.
const HOST: &str = "x86_64-unknown-linux-gnu";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Target to run for a while; without one, all run with their seeds only
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// Seconds to run
    #[arg(long, default_value_t = 600, requires = "target")]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.target {
        Some(target) => search(target, args.seconds)?,
        None => replay()?,
    }
    Ok(0)
}

/// Runs a target for a while. Findings are kept in `fuzz/artifacts`.
fn search(target: &str, seconds: u64) -> Result<()> {
    let flags = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
    let folder = build(&["--release"], flags)?.join("release");
    let corpus = make_folder(&format!("corpus/{target}"))?;
    let artifacts = make_folder("artifacts")?;
    let mut command = std::process::Command::new(folder.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-max_len=16384",
            "-print_final_stats=1",
        ])
        .arg(format!(
            "-dict={}",
            root().join("fuzz/dictionary").display()
        ))
        .arg(format!(
            "-artifact_prefix={}/{target}-",
            artifacts.display()
        ))
        .arg(corpus)
        .args(SEEDS)
        .current_dir(root());
    succeed(&mut command)
}

/// Builds the targets and runs each once with every seed.
pub(crate) fn replay() -> Result<()> {
    let folder = build(&[], "--cfg fuzzing")?.join("debug");
    let seeds = seeds()?;
    ensure!(!seeds.is_empty(), "there are no seeds");
    for target in TARGETS {
        let mut command = std::process::Command::new(folder.join(target));
        let output = command
            .args(["-timeout=10", "-rss_limit_mb=1024"])
            .args(&seeds)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "fuzz target {target}: {}\n{said}",
            output.status
        );
        println!("fuzz target {target}: {} seeds", seeds.len());
    }

    Ok(())
}

fn build(arguments: &[&str], flags: &str) -> Result<PathBuf> {
    let folder = Workspace::read()?.target.join("fuzz");
    let mut command = cargo(&["build", "--locked", "--target", HOST]);
    command
        .args(arguments)
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", flags);
    succeed(command.current_dir(root().join("fuzz")))?;
    Ok(folder.join(HOST))
}

fn seeds() -> Result<Vec<PathBuf>> {
    let mut seeds = Vec::new();
    for folder in SEEDS {
        for file in fs::read_dir(root().join(folder)).context(folder)? {
            let path = file?.path();
            if path.extension() == Some(OsStr::new("xml")) {
                seeds.push(path);
            }
        }
    }

    seeds.sort();
    Ok(seeds)
}

/// Returns a folder of `fuzz/`, made if it is missing.
fn make_folder(folder: &str) -> Result<PathBuf> {
    let folder = root().join("fuzz").join(Path::new(folder));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
