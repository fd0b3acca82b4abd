//! Puts the checked-out commit into the version that `passthru --version` prints.
//!
//! The version does not mark uncommitted changes: cargo would have to run this script, and link, at
//! each build.
#![allow(
    clippy::print_stdout,
    reason = "this is how a build script tells cargo what it made"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let number = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    for path in watched(&folder) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!(
        "cargo::rustc-env=PASSTHRU_VERSION={}",
        version(&folder, &number)
    );
}

/// Returns `0.1.0 (8b8dc9b 2026-11-29)`. Returns only the number if the folder is not a git
/// checkout.
pub(crate) fn version(folder: &Path, number: &str) -> String {
    match commit(folder) {
        Some(commit) => format!("{number} ({commit})"),
        None => number.into(),
    }
}

/// Returns the commit's abbreviated hash and date.
fn commit(folder: &Path) -> Option<String> {
    // A source archive may be unpacked within a checkout of something else.
    git(folder, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
    git(
        folder,
        &[
            "-c",
            "log.showSignature=false",
            "log",
            "-1",
            "--format=%h %cs",
        ],
    )
}

/// Returns the files that change when another commit is checked out or made. Each of them exists:
/// while a named file is missing, cargo runs a build script at each build.
pub(crate) fn watched(folder: &Path) -> Vec<PathBuf> {
    let path =
        |name: &str| git(folder, &["rev-parse", "--git-path", name]).map(|path| folder.join(path));
    let mut files: Vec<_> = ["HEAD", "packed-refs", "reftable/tables.list"]
        .into_iter()
        .map(path)
        .collect();
    if let Some(branch) = git(folder, &["symbolic-ref", "-q", "HEAD"]) {
        // A branch that is packed gets a file of its own, in this folder, by its next commit.
        let own = path(&branch).filter(|file| file.is_file());
        files.push(own.or_else(|| path("refs/heads")));
    }

    files
        .into_iter()
        .flatten()
        .filter(|file| file.exists())
        .collect()
}

/// Returns the output of git, without the end of the line; `None` if git fails or is missing.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A hook that builds has these set for its own repository.
    for variable in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
    ] {
        command.env_remove(variable);
    }

    let output = command.current_dir(folder).args(args).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8(text).ok()?.trim_end().to_owned())
}
